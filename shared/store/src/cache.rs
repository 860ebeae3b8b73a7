//! A read-through cache in one instance, bounded in entries and in bytes, for values that are read
//! far more often than they change.
//!
//! Keys name a version, so an entry is never wrong and needs no lifetime: when the version goes on,
//! the entries of the one before are let go ([`Cache::keep_only`]). How soon an instance learns of a
//! new version is the bound within which all instances agree; that is up to who asks.
//!
//! The smallest example is `shared/store/src/catalog.rs`:
//!
//! ```text
//! let cache = Arc::new(Cache::new(BOUNDS, Kept::bytes));
//! self.cache.keep_only(|part| part.version == version);
//! self.cache.get(&part, read).await
//! ```

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rollcall_domain::port::PortError;
use tokio::sync::OnceCell;

/// What a cache holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries, those for things that do not exist included.
    pub entries_max: NonZeroUsize,
    /// Bytes of all entries together, as they say of themselves. A value that is larger by itself is
    /// handed on and not kept.
    pub bytes_max: usize,
}

/// How much a cache was of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Answers without a reading.
    pub hits: u64,
    /// Readings begun.
    pub misses: u64,
    /// Entries that had to make room for others.
    pub evictions: u64,
    /// Entries now.
    pub entries: usize,
    /// Bytes now.
    pub bytes: usize,
}

/// What was read: a value, or that there is none.
type Read<V> = Option<Arc<V>>;
/// A place that one caller fills and others wait for.
type Flight<V> = Arc<OnceCell<Read<V>>>;

struct Entry<V> {
    flight: Flight<V>,
    bytes: usize,
}

struct State<K, V> {
    /// The least recently used is the first to go, whatever the clock says.
    entries: LruCache<K, Entry<V>>,
    statistics: Statistics,
}

/// A cache of values of one kind. Values are shared and cannot be changed through it.
pub struct Cache<K, V> {
    bounds: Bounds,
    bytes_of: fn(&V) -> usize,
    state: Mutex<State<K, V>>,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// An empty cache; `bytes_of` says about how many bytes a value takes.
    pub fn new(bounds: Bounds, bytes_of: fn(&V) -> usize) -> Self {
        let entries = LruCache::unbounded();
        let state = State { entries, statistics: Statistics::default() };
        Self { bounds, bytes_of, state: Mutex::new(state) }
    }

    /// The value of `key`, or that there is none: from the cache, or by `read`,
    /// which is begun only then. Callers who ask at
    /// once for what is not there wait for one reading. A reading that fails is not kept; who waited
    /// for it reads again.
    pub async fn get(
        &self,
        key: &K,
        read: impl Future<Output = Result<Option<V>, PortError>>,
    ) -> Result<Option<Arc<V>>, PortError> {
        let flight = self.flight(key);
        if let Some(read) = flight.get() {
            self.lock().statistics.hits += 1;
            return Ok(read.clone());
        }
        let mut own = false;
        let reading = async {
            own = true;
            self.lock().statistics.misses += 1;
            read.await.map(|value| value.map(Arc::new))
        };
        let read = match flight.get_or_try_init(|| reading).await {
            Ok(read) => read.clone(),
            Err(error) => {
                self.land(key, &flight);
                return Err(error);
            }
        };
        if own {
            let bytes = read.as_deref().map_or(0, self.bytes_of);
            self.settle(key, &flight, bytes);
        } else {
            self.lock().statistics.hits += 1;
        }
        Ok(read)
    }

    /// Lets go of every entry whose key is not of the kind that is still asked for, and so before
    /// any that is.
    pub fn keep_only(&self, is_current: impl Fn(&K) -> bool) {
        let mut state = self.lock();
        let old: Vec<K> = state
            .entries
            .iter()
            .filter(|(key, _)| !is_current(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            state.let_go(&key);
        }
    }

    /// How much the cache was of use so far.
    pub fn statistics(&self) -> Statistics {
        let state = self.lock();
        Statistics { entries: state.entries.len(), ..state.statistics }
    }

    /// The place of `key`, now the most recently used one.
    fn flight(&self, key: &K) -> Flight<V> {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get(key) {
            return Arc::clone(&entry.flight);
        }
        let flight = Flight::default();
        let entry = Entry { flight: Arc::clone(&flight), bytes: 0 };
        state.entries.put(key.clone(), entry);
        state.make_room(self.bounds);
        flight
    }

    /// Counts the bytes of what was read, and makes room for it; unless its place was taken away
    /// meanwhile.
    fn settle(&self, key: &K, flight: &Flight<V>, bytes: usize) {
        let mut state = self.lock();
        if bytes > self.bounds.bytes_max {
            state.let_go_if(key, flight);
            return;
        }
        let Some(entry) = state.entries.peek_mut(key) else { return };
        if Arc::ptr_eq(&entry.flight, flight) {
            entry.bytes = bytes;
            state.statistics.bytes += bytes;
            state.make_room(self.bounds);
        }
    }

    /// Gives the place of a reading that failed back, unless somebody waits for it.
    fn land(&self, key: &K, flight: &Flight<V>) {
        let mut state = self.lock();
        // One hold is the cache's and one is the caller's; any other waits to read.
        if Arc::strong_count(flight) <= 2 {
            state.let_go_if(key, flight);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone, V> State<K, V> {
    fn let_go(&mut self, key: &K) {
        if let Some(entry) = self.entries.pop(key) {
            self.statistics.bytes -= entry.bytes;
        }
    }

    fn let_go_if(&mut self, key: &K, flight: &Flight<V>) {
        if self.entries.peek(key).is_some_and(|entry| Arc::ptr_eq(&entry.flight, flight)) {
            self.let_go(key);
        }
    }

    fn make_room(&mut self, bounds: Bounds) {
        while self.entries.len() > bounds.entries_max.get()
            || self.statistics.bytes > bounds.bytes_max
        {
            let Some((_, entry)) = self.entries.pop_lru() else { return };
            self.statistics.bytes -= entry.bytes;
            self.statistics.evictions += 1;
        }
    }
}

impl<K, V> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use rollcall_domain::port::PortErrorClass;

    /// A store that counts how often it is read.
    #[derive(Default)]
    struct Store {
        texts: BTreeMap<&'static str, String>,
        readings: AtomicUsize,
    }

    impl Store {
        fn of(names: &[&'static str]) -> Self {
            let texts = names.iter().map(|name| (*name, name.repeat(10))).collect();
            Self { texts, readings: AtomicUsize::new(0) }
        }

        async fn read(&self, name: &str) -> Result<Option<String>, PortError> {
            self.readings.fetch_add(1, Ordering::SeqCst);
            // Others get their turn while a reading is under way.
            tokio::task::yield_now().await;
            Ok(self.texts.get(name).cloned())
        }

        fn readings(&self) -> usize {
            self.readings.load(Ordering::SeqCst)
        }
    }

    type Texts = Cache<&'static str, String>;

    fn cache(entries_max: usize, bytes_max: usize) -> Texts {
        let entries_max = NonZeroUsize::new(entries_max).unwrap();
        Cache::new(Bounds { entries_max, bytes_max }, String::len)
    }

    async fn get(cache: &Texts, store: &Store, name: &'static str) -> Option<Arc<String>> {
        cache.get(&name, store.read(name)).await.unwrap()
    }

    /// Asks for `names` one after the other, and says how many of them were read.
    async fn readings(cache: &Texts, store: &Store, names: &[&'static str]) -> usize {
        let before = store.readings();
        for name in names {
            get(cache, store, name).await;
        }
        store.readings() - before
    }

    #[tokio::test]
    async fn creators_3_3_many_who_ask_at_once_cause_one_reading() {
        let (cache, store) = (cache(10, 1_000), Store::of(&["a"]));
        let answers = join_all((0..50).map(|_| get(&cache, &store, "a"))).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.as_deref().map(String::as_str) == Some("aaaaaaaaaa"))
        );
        assert_eq!(store.readings(), 1);
        let Statistics { hits, misses, .. } = cache.statistics();
        assert_eq!((hits, misses), (49, 1));
    }

    #[tokio::test]
    async fn creators_3_3_what_does_not_exist_is_remembered_too() {
        let (cache, store) = (cache(10, 1_000), Store::of(&[]));
        assert_eq!(readings(&cache, &store, &["a", "a", "a"]).await, 1);
        assert_eq!(get(&cache, &store, "a").await, None);
    }

    #[tokio::test]
    async fn creators_3_3_a_caller_cannot_change_what_others_get() {
        let (cache, store) = (cache(10, 1_000), Store::of(&["a"]));
        let mut own = get(&cache, &store, "a").await.unwrap();
        Arc::make_mut(&mut own).push_str("changed");
        assert_eq!(*get(&cache, &store, "a").await.unwrap(), "aaaaaaaaaa");
    }

    #[tokio::test]
    async fn creators_3_3_asking_for_what_is_there_makes_nobody_go() {
        let (cache, store) = (cache(2, 1_000), Store::of(&["a", "b"]));
        assert_eq!(readings(&cache, &store, &["a", "b"]).await, 2);
        assert_eq!(readings(&cache, &store, &["b", "a", "b", "b", "a"]).await, 0);
        assert_eq!(cache.statistics().evictions, 0);
    }

    #[tokio::test]
    async fn creators_3_3_the_least_recently_used_goes_first_whatever_the_clock_says() {
        let (cache, store) = (cache(2, 1_000), Store::of(&["a", "b", "c"]));
        // All within one millisecond: only the order counts.
        assert_eq!(readings(&cache, &store, &["a", "b", "a", "c"]).await, 3);
        assert_eq!(readings(&cache, &store, &["a", "c"]).await, 0, "just used");
        assert_eq!(readings(&cache, &store, &["b"]).await, 1);
    }

    #[tokio::test]
    async fn creators_3_3_entries_of_an_old_version_go_before_any_other() {
        let (cache, store) = (cache(2, 1_000), Store::of(&["1a", "2a", "2b"]));
        assert_eq!(readings(&cache, &store, &["2a", "1a"]).await, 2);
        cache.keep_only(|key| key.starts_with('2'));
        assert_eq!(readings(&cache, &store, &["2b", "2a"]).await, 1);
        assert_eq!(cache.statistics().evictions, 0);
    }

    #[tokio::test]
    async fn entries_and_bytes_are_bounded() {
        let (cache, store) = (cache(3, 25), Store::of(&["a", "b", "c", "dddd"]));
        for name in ["a", "b", "c", "x", "y", "z", "a", "dddd"] {
            get(&cache, &store, name).await;
            let Statistics { entries, bytes, .. } = cache.statistics();
            assert!(entries <= 3 && bytes <= 25, "{entries} entries, {bytes} bytes");
        }
        assert_eq!(get(&cache, &store, "dddd").await.unwrap().len(), 40, "handed on, not kept");
        assert_eq!(readings(&cache, &store, &["dddd", "a"]).await, 1);
    }

    #[tokio::test]
    async fn a_reading_that_fails_is_tried_again_by_the_next() {
        let (cache, store) = (cache(10, 1_000), Store::of(&["a"]));
        let away = || PortError::new("read", PortErrorClass::Unavailable, "away");
        let failing = cache.get(&"a", async {
            tokio::task::yield_now().await;
            Err(away())
        });
        let (failed, waited) = tokio::join!(failing, get(&cache, &store, "a"));
        assert_eq!(failed.unwrap_err().class, PortErrorClass::Unavailable);
        assert!(waited.is_some(), "who waited for it reads anew");
        assert_eq!(readings(&cache, &store, &["a"]).await, 0);
        let bytes = cache.statistics().bytes;
        assert_eq!(bytes, 10, "counted once");
    }

    #[tokio::test]
    async fn a_version_that_goes_on_during_a_reading_leaves_nothing_behind() {
        let (cache, store) = (cache(10, 1_000), Store::of(&["1a"]));
        let read = cache.get(&"1a", async {
            cache.keep_only(|key| key.starts_with('2'));
            store.read("1a").await
        });
        assert!(read.await.unwrap().is_some());
        let Statistics { entries, bytes, .. } = cache.statistics();
        assert_eq!((entries, bytes), (0, 0));
    }
}
