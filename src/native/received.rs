//! Counts the messages of a topic that the middleware lost, on the network or in the queue of the subscription. Publishers
//! number their messages, so a gap between the numbers of two received messages means lost messages. r2r offers neither
//! the subscription nor the number of a message; [`__wrap_rcl_take`], which the linker calls instead of `rcl_take`
//! (`build.rs`), reads both.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, PoisonError};

use r2r_rcl::{
    RCL_RET_OK, rcl_node_t, rcl_ret_t, rcl_subscription_get_topic_name, rcl_subscription_t, rmw_message_info_t,
    rmw_subscription_allocation_t,
};

unsafe extern "C" {
    /// `rcl_take` of rcl.
    #[link_name = "__real_rcl_take"]
    fn real_rcl_take(
        subscription: *const rcl_subscription_t,
        message: *mut c_void,
        info: *mut rmw_message_info_t,
        allocation: *mut rmw_subscription_allocation_t,
    ) -> rcl_ret_t;

    /// `rcl_subscription_fini` of rcl.
    #[link_name = "__real_rcl_subscription_fini"]
    fn real_rcl_subscription_fini(subscription: *mut rcl_subscription_t, node: *mut rcl_node_t) -> rcl_ret_t;
}

/// Most publishers of one topic whose numbers are kept.
const MAX_PUBLISHERS: usize = 64;

/// Sequence number of a middleware that does not number its messages (`RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED`).
const UNNUMBERED: u64 = u64::MAX;

/// Counts of the watched topics of this process.
static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

/// The topics whose messages are counted.
#[derive(Debug, Default)]
struct Watched {
    topics: HashMap<String, Topic>,
}

/// Message numbers of one topic.
#[derive(Debug, Default)]
struct Topic {
    /// Addresses of the subscriptions that have received a message. There are two subscriptions while one replaces the
    /// other; a message that either of them receives is not lost.
    subscriptions: HashSet<usize>,
    /// Number of the newest message of each publisher.
    newest: HashMap<Vec<u8>, u64>,
    /// Messages lost since the last call of [`take_lost`]; `None` before the first numbered message.
    lost: Option<u64>,
}

impl Topic {
    /// Notes a received message.
    fn take(&mut self, subscription: usize, publisher: &[u8], number: u64) {
        if number == UNNUMBERED {
            return;
        }
        self.subscriptions.insert(subscription);
        let lost = self.lost.get_or_insert(0);
        if let Some(newest) = self.newest.get_mut(publisher) {
            *lost += number.saturating_sub(*newest).saturating_sub(1);
            *newest = number.max(*newest);
            return;
        }
        if self.newest.len() >= MAX_PUBLISHERS {
            self.newest.clear();
        }
        self.newest.insert(publisher.to_vec(), number);
    }

    /// Notes the end of a subscription. Messages published while there is no subscription are not lost.
    fn end(&mut self, subscription: usize) {
        if self.subscriptions.remove(&subscription) && self.subscriptions.is_empty() {
            self.newest.clear();
        }
    }
}

/// Starts to count the messages of a topic (full name, after remapping).
pub fn watch(topic: &str) {
    with_watched(|watched| {
        watched.topics.entry(topic.to_owned()).or_default();
    });
}

/// Returns the number of messages that were lost since the last call; `None` if the topic is not watched, or if the
/// middleware does not number messages.
pub fn take_lost(topic: &str) -> Option<u64> {
    with_watched(|watched| {
        let lost = watched.topics.get_mut(topic)?.lost.as_mut()?;
        Some(std::mem::take(lost))
    })
}

/// Calls a function with the watched topics locked.
fn with_watched<T>(action: impl FnOnce(&mut Watched) -> T) -> T {
    action(WATCHED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Calls `rcl_take` and notes the number of the message.
///
/// # Safety
/// The contract of `rcl_take`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_rcl_take(
    subscription: *const rcl_subscription_t,
    message: *mut c_void,
    info: *mut rmw_message_info_t,
    allocation: *mut rmw_subscription_allocation_t,
) -> rcl_ret_t {
    // SAFETY: the caller upholds the contract of `rcl_take`.
    let taken = unsafe { real_rcl_take(subscription, message, info, allocation) };
    // SAFETY: `info` is null, or the successful call filled it.
    if taken == RCL_RET_OK as rcl_ret_t
        && let Some(info) = unsafe { info.as_ref() }
    {
        // SAFETY: the subscription is valid, because rcl has just taken a message from it. Its name ends with a zero
        // byte and lives as long as the subscription.
        let topic = unsafe { rcl_subscription_get_topic_name(subscription) };
        if !topic.is_null() {
            // SAFETY: the name ends with a zero byte, see above.
            let topic = unsafe { CStr::from_ptr(topic) };
            with_watched(|watched| {
                if let Some(topic) = topic.to_str().ok().and_then(|name| watched.topics.get_mut(name)) {
                    // SAFETY: the subscription is valid, see above.
                    let address = unsafe { (*subscription).impl_ } as usize;
                    topic.take(address, &info.publisher_gid.data, info.publication_sequence_number);
                }
            });
        }
    }
    taken
}

/// Notes the end of the subscription and calls `rcl_subscription_fini`.
///
/// # Safety
/// The contract of `rcl_subscription_fini`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_rcl_subscription_fini(
    subscription: *mut rcl_subscription_t,
    node: *mut rcl_node_t,
) -> rcl_ret_t {
    // SAFETY: `subscription` is null or valid by the contract of `rcl_subscription_fini`.
    if let Some(subscription) = unsafe { subscription.as_ref() } {
        let address = subscription.impl_ as usize;
        with_watched(|watched| {
            for topic in watched.topics.values_mut() {
                topic.end(address);
            }
        });
    }
    // SAFETY: the caller upholds the contract of `rcl_subscription_fini`.
    unsafe { real_rcl_subscription_fini(subscription, node) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_in_the_numbers_of_a_publisher_are_lost_messages() {
        let mut topic = Topic::default();
        let mut take = |publisher: &[u8], number| {
            topic.take(1, publisher, number);
            topic.lost.take()
        };
        assert_eq!(take(b"a", UNNUMBERED), None, "the middleware does not number its messages");
        assert_eq!(take(b"a", 7), Some(0), "messages before the first received message are not lost");
        assert_eq!(take(b"a", 8), Some(0));
        assert_eq!(take(b"a", 12), Some(3));
        assert_eq!(take(b"b", 100), Some(0), "each publisher numbers its own messages");
        assert_eq!(take(b"a", 13), Some(0));
        assert_eq!(take(b"a", 13), Some(0), "a message that is received twice");
        for publisher in 0..1000_u32 {
            take(&publisher.to_be_bytes(), 1);
        }
        assert!(topic.newest.len() <= MAX_PUBLISHERS);
    }

    #[test]
    fn neither_a_replaced_subscription_nor_a_pause_loses_messages() {
        let mut topic = Topic::default();
        let take = |topic: &mut Topic, subscription, number| {
            topic.take(subscription, b"a", number);
            topic.lost.take()
        };
        take(&mut topic, 1, 1);
        assert_eq!(take(&mut topic, 2, 2), Some(0), "the new subscription received the message");
        assert_eq!(take(&mut topic, 1, 2), Some(0), "both subscriptions received the message");
        assert_eq!(take(&mut topic, 1, 3), Some(0));
        topic.end(1);
        assert_eq!(take(&mut topic, 2, 6), Some(2));
        topic.end(2);
        assert_eq!(take(&mut topic, 2, 90), Some(0), "there was no subscription while the node was inactive");
    }

    #[test]
    fn only_watched_topics_are_counted() {
        watch("/received/image");
        assert_eq!((take_lost("/received/image"), take_lost("/received/other")), (None, None));
        with_watched(|watched| {
            let topic = watched.topics.get_mut("/received/image").unwrap();
            topic.take(1, b"a", 1);
            topic.take(1, b"a", 4);
        });
        assert_eq!((take_lost("/received/image"), take_lost("/received/image")), (Some(2), Some(0)));
    }
}
