//! Queue of requests in order of arrival, limited by number and bytes.

use std::collections::VecDeque;
use std::time::Instant;

use crate::engine::refusal::{Refusal, RefusalKind};

/// Most items of a queue, so that a program that floods the node does not fill its memory.
pub const MAX_QUEUE: usize = 256;

/// An item that waits for its turn or its frame.
#[derive(Debug)]
pub struct Queued<T> {
    pub item: T,
    pub since: Instant,
    bytes: usize,
}

/// A queue in order of arrival, limited by number and bytes.
#[derive(Debug)]
pub struct Queue<T> {
    items: VecDeque<Queued<T>>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { items: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Queue<T> {
    /// Checks whether an item of that size may be added. A single item may have any size.
    ///
    /// # Errors
    /// The queue has [`MAX_QUEUE`] items, or would have more than `limit` bytes.
    pub fn check_room(&self, bytes: usize, limit: usize) -> Result<(), Refusal> {
        let full = |message| Err(Refusal::new(RefusalKind::QueueFull, message));
        if self.items.len() >= MAX_QUEUE {
            return full(format!("{MAX_QUEUE} prompts are waiting already"));
        }
        if !self.items.is_empty() && self.bytes + bytes > limit {
            let megabytes = |bytes: usize| bytes as f64 / 1e6;
            return full(format!(
                "images and masks of {:.0} MB are waiting already; with this one they would be more than {:.0} MB \
                 ('keep.megabytes')",
                megabytes(self.bytes),
                megabytes(limit)
            ));
        }
        Ok(())
    }

    /// Adds an item without a check of the limits: see [`Queue::check_room`].
    pub fn push(&mut self, item: T, bytes: usize, since: Instant) {
        self.bytes += bytes;
        self.items.push_back(Queued { item, since, bytes });
    }

    pub fn remove(&mut self, index: usize) -> Option<Queued<T>> {
        let queued = self.items.remove(index)?;
        self.bytes -= queued.bytes;
        Some(queued)
    }

    pub fn pop(&mut self) -> Option<Queued<T>> {
        self.remove(0)
    }

    /// Removes and returns the items for which `is_taken` is true.
    pub fn take_where(&mut self, mut is_taken: impl FnMut(&T) -> bool) -> Vec<T> {
        let items = std::mem::take(&mut self.items);
        let (taken, items): (Vec<_>, Vec<_>) = items.into_iter().partition(|queued| is_taken(&queued.item));
        self.items = items.into();
        self.bytes -= taken.iter().map(|queued| queued.bytes).sum::<usize>();
        taken.into_iter().map(|queued| queued.item).collect()
    }

    /// Moves an item to the front of the queue.
    pub fn move_to_front(&mut self, index: usize) {
        if let Some(queued) = self.items.remove(index) {
            self.items.push_front(queued);
        }
    }

    pub fn front(&self) -> Option<&Queued<T>> {
        self.items.front()
    }

    pub fn front_mut(&mut self) -> Option<&mut Queued<T>> {
        self.items.front_mut()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Queued<T>> {
        self.items.iter()
    }

    pub fn get(&self, index: usize) -> Option<&Queued<T>> {
        self.items.get(index)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut queue = Queue::default();
        let now = Instant::now();
        for i in 0..MAX_QUEUE {
            assert!(queue.check_room(1, 1000).is_ok());
            queue.push(i, 1, now);
        }
        assert_eq!(queue.check_room(1, 1000).unwrap_err().kind, RefusalKind::QueueFull);
        let mut queue = Queue::default();
        assert!(queue.check_room(5000, 1000).is_ok(), "a single item may have any size");
        queue.push((), 5000, now);
        assert!(queue.check_room(1, 1000).unwrap_err().message.contains("keep.megabytes"));
        assert_eq!((queue.pop().map(|q| q.item), queue.bytes()), (Some(()), 0));
    }

    #[test]
    fn an_item_moved_to_the_front_is_next_and_the_others_keep_their_order() {
        let mut queue = Queue::default();
        (0..4).for_each(|i| queue.push(i, 1, Instant::now()));
        queue.move_to_front(2);
        queue.move_to_front(9);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop().map(|q| q.item)).collect();
        assert_eq!((order, queue.bytes()), (vec![2, 0, 1, 3], 0));
    }
}
