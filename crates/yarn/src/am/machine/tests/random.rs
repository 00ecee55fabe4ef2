use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many more, or fewer, of one of three wishes.
    Want(usize, i32),
    Give(u32),
    Call(Fate),
    Restart,
    Release,
}

fn wishes() -> [Wish; 3] {
    let pinned = Wish { hosts: vec!["a".to_owned(), "b".to_owned()], ..wish() };
    [wish(), Wish::anywhere(Resources { memory: 32 << 20, ..SIZE }), pinned]
}

fn steps(least: i32) -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![6 => Just(Fate::Answered), 1 => Just(Fate::Lost), 1 => Just(Fate::Deaf)];
    let step = prop_oneof![
        3 => (0..3_usize, least..5).prop_map(|(wish, more)| Step::Want(wish, more)),
        3 => (1..6_u32).prop_map(Step::Give),
        8 => fate.prop_map(Step::Call),
        1 => Just(Step::Restart),
        1 => Just(Step::Release),
    ];
    proptest::collection::vec(step, 1..120)
}

struct Story {
    world: World,
    /// How many of each wish there must be in the end.
    total: [u32; 3],
}

impl Story {
    fn told(&self, wish: &Wish) -> u32 {
        let of_wish = |event: &&Event| matches!(event, Event::Granted { wish: given, .. } if given == wish);
        u32::try_from(self.world.told.iter().filter(of_wish).count()).unwrap()
    }

    fn want(&mut self, place: usize, more: i32) {
        let wish = wishes()[place].clone();
        let told = self.told(&wish);
        self.total[place] = self.total[place].saturating_add_signed(more).max(told);
        self.world.ask(wish, self.total[place] - told);
    }

    fn play(steps: &[Step]) -> Self {
        let mut story = Self { world: World::new(), total: [0; 3] };
        for step in steps {
            match *step {
                Step::Want(place, more) => story.want(place, more),
                Step::Give(most) => story.world.rm.give(most),
                Step::Call(fate) => drop(story.world.call(fate)),
                Step::Restart => story.world.rm.restart(),
                Step::Release => story.world.put(Input::Order(Order::Release(id(1)))),
            }
        }
        // The world comes to rest, and gives all that is asked for.
        for _ in 0..12 {
            story.world.call(Fate::Answered);
            story.world.rm.give(1000);
        }
        story
    }
}

proptest! {
    #[test]
    fn no_ask_is_lost_and_none_is_granted_twice(steps in steps(-4)) {
        let story = Story::play(&steps);
        for (wish, total) in wishes().iter().zip(story.total) {
            prop_assert_eq!(story.told(wish), total, "of {:?}", wish);
            prop_assert_eq!(story.world.am.asks.standing(wish), (0, 0));
        }
        prop_assert_eq!(story.world.rm.open(), 0);
        let mut ids: Vec<_> = story.world.told.iter().filter_map(|event| match event {
            Event::Granted { container, .. } => Some(container.id),
            _ => None,
        }).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), story.world.grants());
    }

    #[test]
    fn nothing_is_asked_for_that_is_not_wanted(steps in steps(0)) {
        // As long as wishes only grow, nothing is ever given back: the ResourceManager was never asked for too much.
        let story = Story::play(&steps);
        let released: Vec<_> = story.world.rm.released.iter().filter(|released| **released != id(1)).collect();
        prop_assert!(released.is_empty(), "{:?}", released);
    }
}
