//! How many there may be, and of whom.

use super::client::Counted;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who can be told to leave.
pub(super) trait Guest: Send + Sync + 'static {
    /// Its place is needed for another, because this bound was reached.
    fn leave(&self, bound: Bound);
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Of all together.
    Max,
    /// Of one address.
    MaxPerAddress,
}

/// A number of places. Whoever waits, for a first request or for the next, gives way when there is no other left.
pub(super) struct Places<G> {
    max: usize,
    each: usize,
    table: Mutex<Table<G>>,
}

struct Table<G> {
    /// Who sits, by number.
    taken: HashMap<u64, Taken<G>>,
    /// How many of each counted address, and which of them wait.
    addresses: HashMap<Counted, Address>,
    /// The order of waiting, the longest first: the number it was given when it began, and whose it is.
    waiting: BTreeSet<(u64, u64)>,
    /// Those that were told to leave and have not left yet.
    leaving: usize,
    next: u64,
}

struct Taken<G> {
    guest: Arc<G>,
    address: Option<Counted>,
    /// Its number in the order of waiting, while it waits.
    waits: Option<u64>,
}

#[derive(Default)]
struct Address {
    taken: usize,
    waiting: BTreeSet<(u64, u64)>,
}

/// One place, given back when dropped.
pub(super) struct Place<G: Guest> {
    places: Arc<Places<G>>,
    id: u64,
}

/// Places that were given to others before those who had them have left: more would not be places any more.
const MAX_LEAVING: usize = 64;

impl<G: Guest> Places<G> {
    /// `max` places, of which one address gets at most `each`.
    pub(super) fn new(max: usize, each: usize) -> Arc<Self> {
        let table =
            Table { taken: HashMap::new(), addresses: HashMap::new(), waiting: BTreeSet::new(), leaving: 0, next: 0 };
        Arc::new(Self { max, each, table: Mutex::new(table) })
    }

    /// A place for `guest`, who waits until it says otherwise. `address` is `None` for those that only `max` bounds.
    pub(super) fn take(self: &Arc<Self>, address: Option<Counted>, guest: Arc<G>) -> Result<Place<G>, Bound> {
        let mut table = self.table();
        let of_address = address.and_then(|address| table.addresses.get(&address));
        let (bound, oldest) = if of_address.is_some_and(|of| of.taken >= self.each) {
            (Bound::MaxPerAddress, of_address.and_then(|of| of.waiting.first().copied()))
        } else if table.taken.len() >= self.max {
            (Bound::Max, table.waiting.first().copied())
        } else {
            return Ok(Place { id: table.add(address, guest), places: self.clone() });
        };
        let Some((_, oldest)) = oldest.filter(|_| table.leaving < MAX_LEAVING) else { return Err(bound) };
        let gone = table.remove(oldest);
        table.leaving += 1;
        let id = table.add(address, guest);
        drop(table);
        if let Some(gone) = gone {
            gone.guest.leave(bound);
        }
        Ok(Place { id, places: self.clone() })
    }

    fn table(&self) -> MutexGuard<'_, Table<G>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G> Table<G> {
    fn add(&mut self, address: Option<Counted>, guest: Arc<G>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.taken.insert(id, Taken { guest, address, waits: None });
        if let Some(address) = address {
            self.addresses.entry(address).or_default().taken += 1;
        }
        self.waits(id, true);
        id
    }

    fn waits(&mut self, id: u64, waits: bool) {
        let Some(taken) = self.taken.get_mut(&id) else { return };
        if taken.waits.is_some() == waits {
            return;
        }
        let of_address = taken.address.and_then(|address| self.addresses.get_mut(&address));
        if let Some(since) = taken.waits.take() {
            self.waiting.remove(&(since, id));
            of_address.map(|of| of.waiting.remove(&(since, id)));
        } else {
            let since = self.next;
            self.next += 1;
            taken.waits = Some(since);
            self.waiting.insert((since, id));
            of_address.map(|of| of.waiting.insert((since, id)));
        }
    }

    fn remove(&mut self, id: u64) -> Option<Taken<G>> {
        self.waits(id, false);
        let taken = self.taken.remove(&id)?;
        if let Some(address) = taken.address
            && let Some(of) = self.addresses.get_mut(&address)
        {
            of.taken -= 1;
            if of.taken == 0 {
                self.addresses.remove(&address);
            }
        }
        Some(taken)
    }
}

impl<G: Guest> Place<G> {
    /// Says whether its guest waits, and may have to give way.
    pub(super) fn waits(&self, waits: bool) {
        self.places.table().waits(self.id, waits);
    }
}

impl<G: Guest> Drop for Place<G> {
    fn drop(&mut self) {
        let mut table = self.places.table();
        if table.remove(self.id).is_none() {
            table.leaving = table.leaving.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers why it had to leave.
    #[derive(Default)]
    struct Told(Mutex<Option<Bound>>);

    impl Guest for Told {
        fn leave(&self, bound: Bound) {
            *self.0.lock().unwrap() = Some(bound);
        }
    }

    fn of(address: &str) -> Option<Counted> {
        Some(Counted::new(address.parse().unwrap()))
    }

    /// Takes a place and says what happened to those before.
    struct Room {
        places: Arc<Places<Told>>,
        guests: Vec<(Arc<Told>, Option<Place<Told>>)>,
    }

    impl Room {
        fn take(&mut self, address: Option<Counted>) -> Result<Vec<(usize, Bound)>, Bound> {
            let guest = Arc::new(Told::default());
            let place = self.places.take(address, guest.clone())?;
            self.guests.push((guest, Some(place)));
            let mut left = Vec::new();
            for (i, (guest, place)) in self.guests.iter_mut().enumerate() {
                if let Some(bound) = guest.0.lock().unwrap().take() {
                    *place = None;
                    left.push((i, bound));
                }
            }
            Ok(left)
        }

        fn busy(&self, which: usize) {
            self.guests[which].1.as_ref().unwrap().waits(false);
        }
    }

    #[test]
    fn who_waits_gives_way_and_who_works_does_not() {
        let mut room = Room { places: Places::new(3, 2), guests: Vec::new() };
        let (a, b) = (of("192.0.2.1"), of("2001:db8::1"));
        assert_eq!(room.take(a), Ok(vec![]));
        assert_eq!(room.take(a), Ok(vec![]));
        assert_eq!(room.take(a), Ok(vec![(0, Bound::MaxPerAddress)]), "its own, although there is a place");
        assert_eq!(room.take(b), Ok(vec![]));
        assert_eq!(room.take(None), Ok(vec![(1, Bound::Max)]), "whoever has waited longest");
        room.busy(2);
        room.busy(3);
        assert_eq!(room.take(of("2001:db8::2")), Ok(vec![(4, Bound::Max)]));
        room.busy(5);
        assert_eq!(room.take(b), Err(Bound::MaxPerAddress), "3 and 5 are of one /64");
        assert_eq!(room.take(None), Err(Bound::Max));
        room.guests[2].1.as_ref().unwrap().waits(true);
        assert_eq!(room.take(None), Ok(vec![(2, Bound::Max)]));
        room.guests.clear();
        let table = room.places.table();
        assert!(table.taken.is_empty() && table.addresses.is_empty() && table.waiting.is_empty());
        assert_eq!(table.leaving, 0);
    }

    #[test]
    fn no_more_leave_than_can_be_waited_for() {
        let places = Places::new(1, 1);
        let mut held = Vec::new();
        for _ in 0..=MAX_LEAVING {
            held.push(places.take(None, Arc::new(Told::default())).map_err(|_| ()).unwrap());
        }
        assert!(places.take(None, Arc::new(Told::default())).is_err_and(|bound| bound == Bound::Max));
        held.remove(0);
        assert!(places.take(None, Arc::new(Told::default())).is_ok());
    }
}
