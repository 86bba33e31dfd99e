//! Counts the messages of a topic that were published and never taken. r2r hands out neither a subscription nor the
//! information that comes with a message, so the linker puts [`__wrap_rcl_take`] before rcl's own function (`build.rs`).
//! Publishers number their messages; a gap between two that were taken is what the middleware lost, for whatever reason:
//! on the way, or in the queue of the subscription.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, PoisonError};

use r2r_rcl::{
    RCL_RET_OK, rcl_node_t, rcl_ret_t, rcl_subscription_get_topic_name, rcl_subscription_t, rmw_message_info_t,
    rmw_subscription_allocation_t,
};

unsafe extern "C" {
    /// rcl's own `rcl_take`.
    #[link_name = "__real_rcl_take"]
    fn real_rcl_take(
        subscription: *const rcl_subscription_t,
        message: *mut c_void,
        info: *mut rmw_message_info_t,
        allocation: *mut rmw_subscription_allocation_t,
    ) -> rcl_ret_t;

    /// rcl's own `rcl_subscription_fini`.
    #[link_name = "__real_rcl_subscription_fini"]
    fn real_rcl_subscription_fini(subscription: *mut rcl_subscription_t, node: *mut rcl_node_t) -> rcl_ret_t;
}

/// Publishers of one topic that are remembered.
const MAX_PUBLISHERS: usize = 64;

/// Sequence number of a middleware that does not number its messages (`RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED`).
const UNNUMBERED: u64 = u64::MAX;

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

/// The topics whose messages are counted.
#[derive(Debug, Default)]
struct Watched {
    topics: HashMap<String, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    /// Addresses of the subscriptions that have taken a message. There are two while one replaces the other, and what one of
    /// them takes is not lost.
    subscriptions: HashSet<usize>,
    /// Number of the newest message of each publisher.
    newest: HashMap<Vec<u8>, u64>,
    /// Messages lost since the last question; `None` until the middleware has numbered one.
    lost: Option<u64>,
}

impl Topic {
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

    /// What is published while there is no subscription is not lost.
    fn end(&mut self, subscription: usize) {
        if self.subscriptions.remove(&subscription) && self.subscriptions.is_empty() {
            self.newest.clear();
        }
    }
}

/// Counts the messages of this topic (full name, after remapping) from now on.
pub fn watch(topic: &str) {
    with(|watched| {
        watched.topics.entry(topic.to_owned()).or_default();
    });
}

/// Messages of the topic that were lost since the last call. `None` if the topic is not watched, or the middleware does
/// not number messages.
pub fn take_lost(topic: &str) -> Option<u64> {
    with(|watched| {
        let lost = watched.topics.get_mut(topic)?.lost.as_mut()?;
        Some(std::mem::take(lost))
    })
}

fn with<T>(what: impl FnOnce(&mut Watched) -> T) -> T {
    what(WATCHED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Calls `rcl_take` and notes the number of the message.
///
/// # Safety
/// As `rcl_take`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_rcl_take(
    subscription: *const rcl_subscription_t,
    message: *mut c_void,
    info: *mut rmw_message_info_t,
    allocation: *mut rmw_subscription_allocation_t,
) -> rcl_ret_t {
    // SAFETY: passed on as the caller gave them.
    let taken = unsafe { real_rcl_take(subscription, message, info, allocation) };
    // SAFETY: null, or filled by a call that succeeded.
    if taken == RCL_RET_OK as rcl_ret_t
        && let Some(info) = unsafe { info.as_ref() }
    {
        // SAFETY: rcl has just taken a message from the subscription, so that it is valid; its name ends with a zero
        // byte and lives as long as it.
        let topic = unsafe { rcl_subscription_get_topic_name(subscription) };
        if !topic.is_null() {
            // SAFETY: as above.
            let topic = unsafe { CStr::from_ptr(topic) };
            with(|watched| {
                if let Some(topic) = topic.to_str().ok().and_then(|name| watched.topics.get_mut(name)) {
                    // SAFETY: valid, as above.
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
/// As `rcl_subscription_fini`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_rcl_subscription_fini(
    subscription: *mut rcl_subscription_t,
    node: *mut rcl_node_t,
) -> rcl_ret_t {
    // SAFETY: null, or a subscription of the caller.
    if let Some(subscription) = unsafe { subscription.as_ref() } {
        let address = subscription.impl_ as usize;
        with(|watched| {
            for topic in watched.topics.values_mut() {
                topic.end(address);
            }
        });
    }
    // SAFETY: passed on as the caller gave them.
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
        assert_eq!(take(b"a", 7), Some(0), "what was published before this subscription is not lost");
        assert_eq!(take(b"a", 8), Some(0));
        assert_eq!(take(b"a", 12), Some(3));
        assert_eq!(take(b"b", 100), Some(0), "each publisher has numbers of its own");
        assert_eq!(take(b"a", 13), Some(0));
        assert_eq!(take(b"a", 13), Some(0), "a message that comes twice");
        for publisher in 0..1000_u32 {
            take(&publisher.to_be_bytes(), 1);
        }
        assert!(topic.newest.len() <= MAX_PUBLISHERS);
    }

    #[test]
    fn a_subscription_that_replaces_another_loses_nothing_and_a_pause_neither() {
        let mut topic = Topic::default();
        let take = |topic: &mut Topic, subscription, number| {
            topic.take(subscription, b"a", number);
            topic.lost.take()
        };
        take(&mut topic, 1, 1);
        assert_eq!(take(&mut topic, 2, 2), Some(0), "the new one took it");
        assert_eq!(take(&mut topic, 1, 2), Some(0), "both did");
        assert_eq!(take(&mut topic, 1, 3), Some(0));
        topic.end(1);
        assert_eq!(take(&mut topic, 2, 6), Some(2));
        topic.end(2);
        assert_eq!(take(&mut topic, 2, 90), Some(0), "while the node was inactive nobody listened");
    }

    #[test]
    fn only_watched_topics_are_counted() {
        watch("/received/image");
        assert_eq!((take_lost("/received/image"), take_lost("/received/other")), (None, None));
        with(|watched| {
            let topic = watched.topics.get_mut("/received/image").unwrap();
            topic.take(1, b"a", 1);
            topic.take(1, b"a", 4);
        });
        assert_eq!((take_lost("/received/image"), take_lost("/received/image")), (Some(2), Some(0)));
    }
}
