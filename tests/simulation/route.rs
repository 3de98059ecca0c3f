//! Random lives of a route: endpoints that open, fill, empty, end and fail in any order, an operator who pauses, drains and
//! aborts at any moment. After every step the machine is held against what a user would see.

use sluiced::decide::route::{Action, DestinationPhase, DestinationRule, Event, Phase, Route, SourcePhase};
use sluiced::model::{CloseCause, Distribution, Moment, PauseReason, RouteState};

use crate::random::{Random, seeds};

/// What is known of the route from outside.
struct World {
    route: Route,
    rules: Vec<DestinationRule>,
    /// For each endpoint: terminal events in its present life.
    source_ends: Vec<u32>,
    destination_ends: Vec<u32>,
    /// The operator has paused and not resumed since.
    operator: bool,
    closed_told: bool,
    now: Moment,
}

impl World {
    fn new(random: &mut Random) -> World {
        let sources = 1 + random.below(3) as usize;
        let rules: Vec<DestinationRule> = (0..=random.below(3))
            .map(|_| DestinationRule {
                blocks: !random.one_in(3),
                close_when_gone: random.one_in(3),
            })
            .collect();
        let operator = random.one_in(4);
        World {
            route: Route::new(sources, &rules, Distribution::Broadcast, operator, Moment(0)),
            source_ends: vec![0; sources],
            destination_ends: vec![0; rules.len()],
            rules,
            operator,
            closed_told: false,
            now: Moment(0),
        }
    }

    /// Something that can happen now; what a driver would never report is left out.
    fn event(&self, random: &mut Random) -> Event {
        let s = random.below(self.source_ends.len() as u64) as usize;
        let d = random.below(self.rules.len() as u64) as usize;
        let later = Moment(self.now.0 + random.below(2000));
        match random.below(22) {
            0 | 1 => Event::SourceOpened(s),
            2 => Event::SourceWaits(s),
            3 => Event::SourceActive(s),
            4 => Event::SourceEnded(s, CloseCause::Eof),
            5 if random.one_in(3) => Event::SourceEnded(s, CloseCause::IoError("EIO".into())),
            6 => Event::SourceDry(s),
            7 if random.one_in(4) => Event::SourceRevived(s),
            8 | 9 => Event::DestinationOpened(d),
            10 => Event::DestinationAwaitsReader(d),
            11 => Event::DestinationGone(d),
            12 if random.one_in(4) => Event::DestinationGoneForGood(d),
            13 => Event::DestinationFull(d, true),
            14 => Event::DestinationFull(d, false),
            15 => Event::DestinationFlushed(d),
            16 if random.one_in(4) => Event::DestinationFailed(d, CloseCause::IoError("ENOSPC".into())),
            17 if random.one_in(4) => Event::DestinationRevived(d),
            18 => Event::Pause,
            19 => Event::Resume,
            20 if random.one_in(3) => Event::Drain(later),
            21 if random.one_in(6) => Event::Abort(CloseCause::Aborted),
            _ => Event::DeadlineReached,
        }
    }

    fn step(&mut self, event: &Event, random: &mut Random) {
        self.now = Moment(self.now.0 + random.below(500));
        let before = self.route.clone();
        let mut actions = Vec::new();
        let changed = self.route.on(event, self.now, &mut actions);
        self.follow_operator(event, changed, &before);
        self.follow_lives(&before);
        for action in &actions {
            self.follow(action);
        }
        self.check(&before, event, &actions);
    }

    fn follow_operator(&mut self, event: &Event, changed: bool, before: &Route) {
        match event {
            Event::Pause if changed => self.operator = true,
            Event::Resume if changed => self.operator = false,
            Event::Drain(_) if changed && *before.phase() == Phase::Running => self.operator = false,
            _ => {}
        }
        let reopened = *before.phase() == Phase::Closed && *self.route.phase() != Phase::Closed;
        if *self.route.phase() == Phase::Closed || reopened {
            self.operator = false;
        }
        if reopened {
            self.closed_told = false;
        }
    }

    /// An endpoint that had ended and is to be opened again begins a new life.
    fn follow_lives(&mut self, before: &Route) {
        for (i, ends) in self.source_ends.iter_mut().enumerate() {
            if before.source(i).has_ended() && !self.route.source(i).has_ended() {
                *ends = 0;
            }
        }
        for (i, ends) in self.destination_ends.iter_mut().enumerate() {
            if before.destination(i).has_ended() && !self.route.destination(i).has_ended() {
                *ends = 0;
            }
        }
    }

    fn follow(&mut self, action: &Action) {
        match action {
            Action::EndSource { source, cause, .. } => {
                self.source_ends[*source] += 1;
                assert_eq!(self.route.source(*source).cause(), Some(cause));
            }
            Action::EndDestination { destination, cause } => {
                self.destination_ends[*destination] += 1;
                assert_eq!(self.route.destination(*destination).cause(), Some(cause));
            }
            Action::DrainSource(source) => assert!(!matches!(self.route.source(*source), SourcePhase::Unopened)),
            Action::Opened => {}
            Action::Closed => {
                assert!(!std::mem::replace(&mut self.closed_told, true), "told closed twice");
            }
        }
    }

    fn check(&self, before: &Route, event: &Event, actions: &[Action]) {
        let route = &self.route;
        let context = || format!("{event:?}\nbefore: {before:#?}\nafter: {route:#?}\nactions: {actions:?}");
        for (i, ends) in self.source_ends.iter().enumerate() {
            assert_eq!(
                *ends == 1,
                route.source(i).has_ended(),
                "source {i} ended {ends} times: {}",
                context()
            );
            assert!(*ends <= 1, "source {i} ended {ends} times: {}", context());
        }
        for (i, ends) in self.destination_ends.iter().enumerate() {
            assert_eq!(
                *ends == 1,
                route.destination(i).has_ended(),
                "destination {i}: {}",
                context()
            );
            assert!(*ends <= 1, "destination {i} ended {ends} times: {}", context());
        }
        let all_ended = (0..self.source_ends.len()).all(|i| route.source(i).has_ended())
            && (0..self.rules.len()).all(|i| route.destination(i).has_ended());
        assert_eq!(all_ended, *route.phase() == Phase::Closed, "{}", context());
        assert_eq!(self.closed_told, *route.phase() == Phase::Closed, "{}", context());
        self.check_gate(&context);
        let written = serde_json::to_string(route).unwrap();
        assert_eq!(
            serde_json::from_str::<Route>(&written).unwrap(),
            *route,
            "{}",
            context()
        );
    }

    fn check_gate(&self, context: &dyn Fn() -> String) {
        let route = &self.route;
        let reasons = route.gate().reasons();
        let closed = *route.phase() == Phase::Closed;
        let blocking = |wanted: &dyn Fn(&DestinationPhase) -> bool| {
            !closed && (0..self.rules.len()).any(|i| self.rules[i].blocks && wanted(route.destination(i)))
        };
        let expected = [
            (PauseReason::Operator, self.operator),
            (
                PauseReason::Starting,
                blocking(&|phase| matches!(phase, DestinationPhase::Unopened)),
            ),
            (
                PauseReason::NoReader,
                blocking(&|phase| matches!(phase, DestinationPhase::Gone)),
            ),
            (
                PauseReason::Backpressure,
                blocking(&|phase| matches!(phase, DestinationPhase::Open { full: true })),
            ),
            (PauseReason::RateLimit, false),
        ];
        for (reason, there) in expected {
            assert_eq!(reasons.contains(reason), there, "{reason:?}: {}", context());
        }
        assert_eq!(route.gate().since().is_some(), !reasons.is_empty(), "{}", context());
        for i in 0..self.source_ends.len() {
            let open = matches!(route.source(i), SourcePhase::Waiting | SourcePhase::Open);
            let reading = open && reasons.is_empty() && *route.phase() == Phase::Running;
            assert_eq!(route.is_reading(i), reading, "{}", context());
        }
        let paused = route.state() == RouteState::Paused;
        assert!(!paused || !reasons.is_empty(), "{}", context());
        let flowing = route.state() == RouteState::Flowing;
        assert!(!flowing || reasons.is_empty(), "{}", context());
    }
}

#[test]
fn whatever_happens_each_end_comes_once_and_the_gate_says_why() {
    for seed in seeds(1000) {
        let mut random = Random::new(seed);
        let mut world = World::new(&mut random);
        for step in 0..120 {
            let event = world.event(&mut random);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.step(&event, &mut random)));
            if let Err(panic) = result {
                eprintln!("SIMULATION_SEED={seed}, step {step}");
                std::panic::resume_unwind(panic);
            }
        }
        // However it stands: a drain whose deadline comes ends it.
        world.step(&Event::Drain(world.now), &mut random);
        world.step(&Event::DeadlineReached, &mut random);
        assert_eq!(world.route.state(), RouteState::Closed, "SIMULATION_SEED={seed}");
    }
}
