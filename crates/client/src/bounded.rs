//! A map that forgets what was not used for longest.

use std::collections::BTreeMap;

/// At most so much weight; the least recently used goes first.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    entries: BTreeMap<K, (u64, usize, V)>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    weight: usize,
    weight_max: usize,
}

impl<K: Ord + Clone, V: Clone> Bounded<K, V> {
    pub(crate) fn new(weight_max: usize) -> Bounded<K, V> {
        Bounded { entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, weight: 0, weight_max }
    }

    pub(crate) fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        self.uses += 1;
        self.weight += weight;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, (self.uses, weight, value));
        while self.weight > self.weight_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            self.remove(&oldest);
        }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let (used, _, value) = self.entries.get_mut(key)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, key.clone());
        Some(value.clone())
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((used, weight, _)) = self.entries.remove(key) {
            self.by_use.remove(&used);
            self.weight -= weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut map = Bounded::new(10);
        map.put('a', 1, 4);
        map.put('b', 2, 4);
        assert_eq!(map.get(&'a'), Some(1));
        map.put('c', 3, 4);
        assert_eq!((map.get(&'a'), map.get(&'b'), map.get(&'c')), (Some(1), None, Some(3)));
        map.put('a', 9, 1);
        map.put('d', 4, 5);
        assert_eq!((map.get(&'a'), map.get(&'c'), map.get(&'d')), (Some(9), Some(3), Some(4)));
    }

    #[test]
    fn what_is_too_heavy_is_not_kept() {
        let mut map = Bounded::new(3);
        map.put('a', 1, 4);
        assert_eq!((map.get(&'a'), map.weight), (None, 0));
    }
}
