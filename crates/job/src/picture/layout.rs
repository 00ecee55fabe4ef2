//! Where the boxes of a drawing stand, and which way its lines take.

use rust_sugiyama::configure::Config;
use rust_sugiyama::from_vertices_and_edges;

use super::Picture;

/// Boxes and bends that the layered layout is given; of more only the order of the file counts, for it takes too long.
const MOST: usize = 1_500;
/// Between two boxes.
const GAP: f64 = 28.0;
/// From one level to the next, from middle to middle.
const LEVEL: f64 = 96.0;
/// Around everything.
const EDGE: f64 = 24.0;

/// A point of a drawing; y grows downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A finished layout.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The middle of each dot.
    pub(super) middles: Vec<Point>,
    /// The bends of each line, in the order of the dots and of their needs.
    pub(super) bends: Vec<Vec<Point>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Boxes, and one more vertex for each level that a long line passes, so that it is led around the boxes between.
struct Levels {
    /// Level and width of each vertex; dots first.
    vertices: Vec<(usize, f64)>,
    edges: Vec<(usize, usize)>,
    /// The vertices that each line passes.
    passed: Vec<Vec<usize>>,
}

impl Levels {
    fn of(picture: &Picture, widths: &[f64]) -> Self {
        let depths = picture.depths();
        let mut levels = Self {
            vertices: depths.iter().copied().zip(widths.iter().copied()).collect(),
            edges: vec![],
            passed: vec![],
        };
        for (at, dot) in picture.dots.iter().enumerate() {
            for &(need, _) in &dot.needs {
                let mut before = need;
                let mut passed = Vec::new();
                for level in depths[need] + 1..depths[at] {
                    levels.vertices.push((level, 8.0));
                    let bend = levels.vertices.len() - 1;
                    levels.edges.push((before, bend));
                    passed.push(bend);
                    before = bend;
                }
                levels.edges.push((before, at));
                levels.passed.push(passed);
            }
        }
        levels
    }

    /// The x of each vertex, by the layered layout of each part; parts stand side by side.
    fn drawn(&self) -> Vec<f64> {
        let vertices: Vec<(u32, (f64, f64))> =
            self.vertices.iter().enumerate().map(|(at, &(_, width))| (at as u32, (width, 40.0))).collect();
        let edges: Vec<(u32, u32)> = self.edges.iter().map(|&(from, to)| (from as u32, to as u32)).collect();
        let config = Config { vertex_spacing: GAP, dummy_vertices: true, ..Config::default() };
        let mut parts: Vec<Vec<(usize, f64)>> = from_vertices_and_edges(&vertices, &edges, &config)
            .into_iter()
            .map(|(part, _, _)| part.into_iter().map(|(at, (x, _))| (at, x)).collect())
            .collect();
        parts.sort_by_key(|part| part.iter().map(|&(at, _)| at).min());
        let mut xs = vec![0.0; self.vertices.len()];
        let mut left = 0.0;
        for part in parts {
            let half = |at: usize| self.vertices.get(at).map_or(0.0, |&(_, width)| width / 2.0);
            let from = part.iter().map(|&(at, x)| x - half(at)).fold(f64::INFINITY, f64::min);
            let to = part.iter().map(|&(at, x)| x + half(at)).fold(f64::NEG_INFINITY, f64::max);
            for (at, x) in part {
                xs[at] = left + x - from;
            }
            left += to - from + GAP;
        }
        xs
    }

    /// Each level from left to right as the file has it.
    fn listed(&self) -> Vec<f64> {
        let mut left = vec![0.0; self.vertices.iter().map(|&(level, _)| level + 1).max().unwrap_or(0)];
        let place = |&(level, width): &(usize, f64)| {
            let x = left[level] + width / 2.0;
            left[level] += width + GAP;
            x
        };
        self.vertices.iter().map(place).collect()
    }
}

/// Lays a picture out; `widths` of its boxes.
pub(super) fn layout(picture: &Picture, widths: &[f64]) -> Layout {
    let levels = Levels::of(picture, widths);
    let xs = if levels.vertices.len() > MOST { levels.listed() } else { levels.drawn() };
    let point = |at: usize| Point { x: xs[at] + EDGE, y: LEVEL * levels.vertices[at].0 as f64 + EDGE + 24.0 };
    let right = levels.vertices.iter().zip(&xs).map(|((_, width), x)| x + width / 2.0).fold(0.0, f64::max);
    let deepest = levels.vertices.iter().map(|&(level, _)| level).max().unwrap_or(0);
    Layout {
        middles: (0..picture.dots.len()).map(point).collect(),
        bends: levels.passed.iter().map(|passed| passed.iter().map(|&at| point(at)).collect()).collect(),
        width: right + 2.0 * EDGE,
        height: LEVEL * deepest as f64 + 2.0 * (EDGE + 24.0),
    }
}
