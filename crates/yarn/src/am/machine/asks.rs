//! What is asked for, and what the ResourceManager believes of it.
//!
//! YARN's numbers are absolute, and grants that we have not seen yet are already subtracted from them. So a number is
//! never changed: an ask goes from 0 to n, or back to 0, and nothing between. More of a wish is a request of its own;
//! less is taken back whole and asked for again. Whatever is granted meanwhile counts for the wish, and so the
//! ResourceManager is never asked for more than is wanted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dybox_model::{Resources, Wish};

use super::talk::AskLine;

const ANYWHERE: &str = "*";
/// Hadoop's rack of a host that nobody told it about.
const DEFAULT_RACK: &str = "/default-rack";
/// How many requests of one wish stand at a time. More would make the scheduler look at more.
const MOST_REQUESTS: usize = 4;

/// Host -> rack.
pub(super) type Racks = BTreeMap<String, String>;

#[derive(Debug)]
struct Request {
    id: i64,
    /// What the ResourceManager still has to give.
    open: u32,
    /// Where it was asked for.
    places: BTreeMap<String, bool>,
}

#[derive(Debug, Default)]
struct Wanted {
    count: u32,
    requests: Vec<Request>,
}

/// The table of all wishes.
#[derive(Debug)]
pub(super) struct Asks {
    wishes: BTreeMap<Wish, Wanted>,
    by_request: BTreeMap<i64, Wish>,
    next_id: i64,
    /// One of these was refused, and nobody knows which: they are sent one by one.
    suspects: VecDeque<Wish>,
}

/// The places of a wish -> whether elsewhere will do.
fn places(wish: &Wish, racks: &Racks) -> BTreeMap<String, bool> {
    let anywhere = wish.relaxed || (wish.hosts.is_empty() && wish.racks.is_empty());
    let mut places = BTreeMap::from([(ANYWHERE.to_owned(), anywhere)]);
    for host in &wish.hosts {
        let rack = racks.get(host).map_or(DEFAULT_RACK, String::as_str);
        places.insert(rack.to_owned(), wish.relaxed);
        places.insert(host.clone(), true);
    }
    // A rack that is itself wished for stands open, also when one of the hosts lies in it.
    places.extend(wish.racks.iter().map(|rack| (rack.clone(), true)));
    places
}

fn lines(wish: &Wish, request: &Request, count: u32) -> impl Iterator<Item = AskLine> {
    request.places.iter().map(move |(place, relax)| AskLine {
        request: request.id,
        place: place.clone(),
        count,
        size: wish.size,
        relax: *relax,
        priority: wish.priority,
    })
}

impl Wanted {
    fn open(&self) -> u32 {
        self.requests.iter().map(|request| request.open).sum()
    }

    /// The requests to take back: those asked for at other places than now, then the newest until no more is open
    /// than wanted, then the smallest when one is needed to ask for more and none is free.
    fn to_withdraw(&self, places: &BTreeMap<String, bool>) -> BTreeSet<i64> {
        let moved = self.requests.iter().filter(|request| request.open > 0 && request.places != *places);
        let mut back: BTreeSet<i64> = moved.map(|request| request.id).collect();
        let mut open: u32 = self.requests.iter().filter(|r| !back.contains(&r.id)).map(|r| r.open).sum();
        for request in self.requests.iter().rev() {
            if open > self.count && request.open > 0 && back.insert(request.id) {
                open -= request.open;
            }
        }
        let all_busy = self.requests.len() == MOST_REQUESTS && self.requests.iter().all(|request| request.open > 0);
        if back.is_empty() && open < self.count && all_busy {
            back.extend(self.requests.iter().min_by_key(|request| request.open).map(|request| request.id));
        }
        back
    }
}

impl Asks {
    /// Requests count from `first`.
    pub(super) fn new(first: i64) -> Self {
        Self { wishes: BTreeMap::new(), by_request: BTreeMap::new(), next_id: first, suspects: VecDeque::new() }
    }

    /// So many more of this wish.
    pub(super) fn want(&mut self, wish: Wish, count: u32) {
        self.wishes.entry(wish).or_default().count = count;
    }

    /// What is wanted larger than `max`: it is forgotten.
    pub(super) fn take_larger_than(&mut self, max: Resources) -> Vec<Wish> {
        let larger =
            |(wish, wanted): &(&Wish, &Wanted)| wanted.count > 0 && !crate::convert::rounded(wish.size).fits(max);
        let found: Vec<_> = self.wishes.iter().filter(larger).map(|(wish, _)| wish.clone()).collect();
        for wish in &found {
            self.want(wish.clone(), 0);
        }
        found
    }

    /// Whether anything is wanted or still open.
    pub(super) fn any(&self) -> bool {
        self.wishes.values().any(|wanted| wanted.count > 0 || wanted.open() > 0)
    }

    /// What the ResourceManager must be told so that it gives what is wanted.
    pub(super) fn lines(&mut self, racks: &Racks) -> Vec<AskLine> {
        let suspect = self.suspects.front().cloned();
        let mut out = Vec::new();
        for (wish, wanted) in &mut self.wishes {
            let places = places(wish, racks);
            let back = wanted.to_withdraw(&places);
            for request in wanted.requests.iter().filter(|request| back.contains(&request.id)) {
                out.extend(lines(wish, request, 0));
            }
            let missing = wanted.count.saturating_sub(wanted.open());
            let held_back = suspect.as_ref().is_some_and(|suspect| suspect != wish);
            // While something is taken back, grants for it may be on their way: the rest is asked for after that.
            if missing == 0 || !back.is_empty() || held_back {
                continue;
            }
            let free = wanted.requests.iter().position(|request| request.open == 0);
            let place = free.unwrap_or_else(|| {
                let id = self.next_id;
                self.next_id += 1;
                self.by_request.insert(id, wish.clone());
                wanted.requests.push(Request { id, open: 0, places: BTreeMap::new() });
                wanted.requests.len() - 1
            });
            wanted.requests[place].places = places;
            out.extend(lines(wish, &wanted.requests[place], missing));
        }
        out
    }

    /// The ResourceManager has taken these lines in.
    pub(super) fn took(&mut self, lines: &[AskLine]) {
        for line in lines.iter().filter(|line| line.place == ANYWHERE) {
            let Some(wish) = self.by_request.get(&line.request) else { continue };
            if self.suspects.front() == Some(wish) {
                self.suspects.pop_front();
            }
            let request = self.wishes.get_mut(wish).and_then(|w| w.requests.iter_mut().find(|r| r.id == line.request));
            if let Some(request) = request {
                request.open = line.count;
            }
        }
        self.forget_done();
    }

    /// One was granted: for which wish, if it is still wanted.
    pub(super) fn granted(&mut self, request: i64) -> Option<Wish> {
        let wish = self.by_request.get(&request)?.clone();
        let wanted = self.wishes.get_mut(&wish)?;
        if let Some(request) = wanted.requests.iter_mut().find(|candidate| candidate.id == request) {
            request.open = request.open.saturating_sub(1);
        }
        let left = wanted.count.checked_sub(1)?;
        wanted.count = left;
        Some(wish)
    }

    /// The ResourceManager has forgotten everything.
    pub(super) fn forgotten(&mut self) {
        self.wishes.values_mut().flat_map(|wanted| &mut wanted.requests).for_each(|request| request.open = 0);
        self.suspects.clear();
    }

    /// One of these lines is never granted. The wish, when only one can be meant; else they are tried one by one.
    pub(super) fn refused(&mut self, lines: &[AskLine]) -> Option<Wish> {
        let asked = lines.iter().filter(|line| line.count > 0);
        let wishes: BTreeSet<_> = asked.filter_map(|line| self.by_request.get(&line.request)).cloned().collect();
        if wishes.len() == 1 {
            let wish = wishes.into_iter().next()?;
            self.suspects.retain(|suspect| *suspect != wish);
            self.want(wish.clone(), 0);
            return Some(wish);
        }
        self.suspects = wishes.into_iter().collect();
        None
    }

    /// Wishes that nobody has any more. Their request ids are remembered: late grants must be known as surplus, and
    /// are, since an unknown request is none of ours either.
    fn forget_done(&mut self) {
        let suspects = &self.suspects;
        self.wishes.retain(|wish, wanted| wanted.count > 0 || wanted.open() > 0 || suspects.contains(wish));
        let wishes = &self.wishes;
        self.by_request.retain(|_, wish| wishes.contains_key(wish));
    }

    /// What is wanted of a wish, and what the ResourceManager still has to give.
    #[cfg(test)]
    pub(super) fn standing(&self, wish: &Wish) -> (u32, u32) {
        self.wishes.get(wish).map_or((0, 0), |wanted| (wanted.count, wanted.open()))
    }
}
