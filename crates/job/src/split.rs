//! Cuts the DAG into sub-DAGs.
//!
//! 1. Parts that share no edge can be apart; a hook's `after` counts as an edge, and so do a named network, in which
//!    tasks must find each other, and `apart_from`. They are packed, largest first.
//! 2. Stages of different `subdag`, queue or node label are apart, even along an edge; those without a `subdag` are
//!    classes of their own, one for each queue and label.
//! 3. The graph of sub-DAGs has no circle.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use dybox_model::{StageId, SubDagId};
use petgraph::unionfind::UnionFind;

use crate::draft::Split;
use crate::graph::Graph;
use crate::plan::SubDag;

/// Sub-DAGs that `split: auto` makes at most.
const AUTO: usize = 4;

/// What the cut depends on.
pub(crate) struct Uncut<'a> {
    pub(crate) graph: &'a Graph,
    /// The class of each stage: those of different classes are apart.
    pub(crate) class: &'a [Class<'a>],
    pub(crate) tasks: &'a [u32],
    /// Stages that stay together without an edge: `after` of each hook, the stages of each network, those that are
    /// kept apart on the machines.
    pub(crate) together: &'a [Vec<u32>],
    pub(crate) split: Split,
}

/// What keeps stages apart, as each stage says it or the job for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Class<'a> {
    /// `subdag`; all stages of one name are together.
    pub(crate) name: Option<&'a str>,
    pub(crate) queue: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    /// Under `on_exit`.
    pub(crate) last: bool,
}

/// The sub-DAGs that need each other: each edge is a stage and one in the next sub-DAG that it needs.
pub(crate) type Circle = Vec<(u32, u32)>;

/// Stages that can't be parted by the rules.
struct Units {
    /// Unit of each stage.
    of: Vec<u32>,
    /// Stages of each unit, in the order of the file.
    stages: Vec<Vec<u32>>,
    graph: Graph,
}

/// Makes the cut. `hooks` of the sub-DAGs are left empty.
pub(crate) fn split(uncut: &Uncut) -> Result<Vec<SubDag>, Circle> {
    let units = units(uncut);
    let Some(order) = units.graph.order() else { return Err(circle(uncut, &units)) };
    let loose: Vec<u32> =
        (0..units.stages.len() as u32).filter(|&unit| uncut.class[first(&units, unit)].name.is_none()).collect();
    let most = match uncut.split {
        Split::Auto => AUTO,
        Split::None => 1,
        Split::Most(most) => most.max(1) as usize,
        Split::Components => usize::MAX,
    };
    let mut bins = pack_by_class(uncut, &units, &loose, most);
    let mut cut = numbered(uncut, &units, &bins);
    if Graph::new(needs_of(&cut)).order().is_none() {
        bins = pack_by_depth(uncut, &units, &loose, most, &units.graph.depths(&order));
        cut = numbered(uncut, &units, &bins);
    }
    Ok(cut)
}

fn first(units: &Units, unit: u32) -> usize {
    units.stages[unit as usize][0] as usize
}

fn units(uncut: &Uncut) -> Units {
    let count = uncut.class.len();
    let loose = |stage: usize| uncut.class[stage].name.is_none();
    let mut joined: UnionFind<usize> = UnionFind::new(count);
    for (stage, needs) in uncut.graph.up.iter().enumerate() {
        for &need in needs {
            if loose(stage) && uncut.class[stage] == uncut.class[need as usize] {
                joined.union(stage, need as usize);
            }
        }
    }
    for group in uncut.together {
        let mut ones: BTreeMap<Class, usize> = BTreeMap::new();
        for stage in group.iter().map(|&stage| stage as usize).filter(|&stage| loose(stage)) {
            joined.union(*ones.entry(uncut.class[stage]).or_insert(stage), stage);
        }
    }
    let mut by_name: BTreeMap<Class, usize> = BTreeMap::new();
    for (stage, class) in uncut.class.iter().enumerate().filter(|(_, class)| class.name.is_some()) {
        let one = *by_name.entry(*class).or_insert(stage);
        joined.union(one, stage);
    }
    let mut number: BTreeMap<usize, u32> = BTreeMap::new();
    let mut stages: Vec<Vec<u32>> = Vec::new();
    let mut of = Vec::with_capacity(count);
    for stage in 0..count {
        let unit = *number.entry(joined.find(stage)).or_insert_with(|| {
            stages.push(Vec::new());
            stages.len() as u32 - 1
        });
        stages[unit as usize].push(stage as u32);
        of.push(unit);
    }
    let edges = edges(uncut.graph, &of, stages.len());
    Units { of, stages, graph: Graph::new(edges) }
}

/// What each group needs of other groups, sorted.
fn edges(graph: &Graph, of: &[u32], groups: usize) -> Vec<Vec<u32>> {
    let mut up = vec![BTreeSet::new(); groups];
    for (stage, needs) in graph.up.iter().enumerate() {
        for &need in needs.iter().filter(|&&need| of[need as usize] != of[stage]) {
            up[of[stage] as usize].insert(of[need as usize]);
        }
    }
    up.into_iter().map(|needs| needs.into_iter().collect()).collect()
}

fn weight(uncut: &Uncut, units: &Units, unit: u32) -> u64 {
    units.stages[unit as usize].iter().map(|&stage| u64::from(uncut.tasks[stage as usize])).sum()
}

/// Packs the units of each class by themselves; every class has one bin at least.
fn pack_by_class(uncut: &Uncut, units: &Units, loose: &[u32], most: usize) -> Vec<Vec<u32>> {
    let mut by_class: BTreeMap<Class, Vec<u32>> = BTreeMap::new();
    for &unit in loose {
        by_class.entry(uncut.class[first(units, unit)]).or_default().push(unit);
    }
    let mut spare = most.saturating_sub(by_class.len());
    let mut bins = Vec::new();
    for group in by_class.values() {
        let more = spare.min(group.len() - 1);
        spare -= more;
        bins.extend(pack(uncut, units, group, 1 + more));
    }
    bins
}

/// Largest first, each into the bin that has least.
fn pack(uncut: &Uncut, units: &Units, loose: &[u32], most: usize) -> Vec<Vec<u32>> {
    let mut sorted: Vec<(Reverse<u64>, u32)> =
        loose.iter().map(|&unit| (Reverse(weight(uncut, units, unit)), unit)).collect();
    sorted.sort_unstable();
    let count = loose.len().min(most);
    let mut bins = vec![Vec::new(); count];
    let mut loads: BinaryHeap<Reverse<(u64, usize)>> = (0..count).map(|bin| Reverse((0, bin))).collect();
    for (Reverse(tasks), unit) in sorted {
        let Some(Reverse((load, bin))) = loads.pop() else { break };
        bins[bin].push(unit);
        loads.push(Reverse((load + tasks, bin)));
    }
    bins
}

/// Packs only units of one depth and class together, so that every edge between bins leads to a greater depth: no circle.
fn pack_by_depth(uncut: &Uncut, units: &Units, loose: &[u32], most: usize, depths: &[u32]) -> Vec<Vec<u32>> {
    let mut by_depth: BTreeMap<(u32, Class), Vec<u32>> = BTreeMap::new();
    for &unit in loose {
        by_depth.entry((depths[unit as usize], uncut.class[first(units, unit)])).or_default().push(unit);
    }
    let mut spare = most.saturating_sub(by_depth.len());
    let mut bins = Vec::new();
    for group in by_depth.values() {
        let more = spare.min(group.len() - 1);
        spare -= more;
        bins.extend(pack(uncut, units, group, 1 + more));
    }
    bins
}

/// Bins and named units as sub-DAGs, in the order of their first stages.
fn numbered(uncut: &Uncut, units: &Units, bins: &[Vec<u32>]) -> Vec<SubDag> {
    let named = (0..units.stages.len() as u32).filter(|&unit| uncut.class[first(units, unit)].name.is_some());
    let groups = bins.iter().cloned().chain(named.map(|unit| vec![unit]));
    let mut groups: Vec<Vec<u32>> = groups
        .map(|group| {
            let mut stages: Vec<u32> =
                group.iter().flat_map(|&unit| units.stages[unit as usize].iter().copied()).collect();
            stages.sort_unstable();
            stages
        })
        .filter(|stages| !stages.is_empty())
        .collect();
    groups.sort_unstable();
    let mut of = vec![0; units.of.len()];
    for (number, group) in groups.iter().enumerate() {
        for &stage in group {
            of[stage as usize] = number as u32;
        }
    }
    let edges = edges(uncut.graph, &of, groups.len());
    let made = groups.into_iter().zip(edges).map(|(stages, needs)| SubDag {
        name: uncut.class[stages[0] as usize].name.map(str::to_owned),
        queue: uncut.class[stages[0] as usize].queue.map(str::to_owned),
        node_label: uncut.class[stages[0] as usize].label.map(str::to_owned),
        stages: stages.into_iter().map(StageId).collect(),
        hooks: Vec::new(),
        needs: needs.into_iter().map(SubDagId).collect(),
    });
    made.collect()
}

fn needs_of(cut: &[SubDag]) -> Vec<Vec<u32>> {
    cut.iter().map(|subdag| subdag.needs.iter().map(|need| need.0).collect()).collect()
}

/// One edge between stages for each step of a circle of units.
fn circle(uncut: &Uncut, units: &Units) -> Circle {
    let way = units.graph.circles().into_iter().next().unwrap_or_default();
    let next = way.iter().cycle().skip(1);
    let step = |(&unit, &next): (&u32, &u32)| {
        units.stages[unit as usize].iter().find_map(|&stage| {
            let need = uncut.graph.up[stage as usize].iter().find(|&&need| units.of[need as usize] == next)?;
            Some((stage, *need))
        })
    };
    way.iter().zip(next).filter_map(step).collect()
}
