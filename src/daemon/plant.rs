//! What runs: one config, its routes and its processes. A plant never changes; a reload puts another one in its place, of
//! the same handles where nothing changed. Whoever waits for something holds the plant that it began with.

use std::collections::HashMap;
use std::rc::Rc;

use super::wiring::Wiring;
use crate::model::{Config, Name};
use crate::relay::RouteHandle;
use crate::supervise;

/// The routes and processes that run.
#[derive(Debug)]
pub struct Plant {
    /// As running.
    pub config: Rc<Config>,
    /// In config order.
    pub routes: Vec<RouteHandle>,
    places: HashMap<Name, usize>,
    /// In config order.
    pub processes: Vec<Rc<supervise::Handle>>,
    /// Which stream belongs where.
    pub wiring: Wiring,
}

impl Plant {
    /// Of these.
    #[must_use]
    pub fn new(config: Rc<Config>, routes: Vec<RouteHandle>, processes: Vec<Rc<supervise::Handle>>) -> Plant {
        let ids = processes.iter().map(|process| process.id().clone()).collect();
        let wiring = Wiring::new(ids, routes.iter().map(|route| &*route.spec));
        let named = routes.iter().enumerate();
        let places = named.map(|(place, route)| (route.spec.name.clone(), place)).collect();
        Plant {
            config,
            routes,
            places,
            processes,
            wiring,
        }
    }

    /// The route of this name.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&RouteHandle> {
        self.place_of(name).map(|place| &self.routes[place])
    }

    /// Where the route of this name stands.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<usize> {
        let name = Name::new(name).ok()?;
        self.places.get(&name).copied()
    }

    /// The process of this place in the wiring, if there is one.
    #[must_use]
    pub fn process(&self, id: &crate::model::ProcessId) -> Option<&Rc<supervise::Handle>> {
        self.wiring.place(id).map(|place| &self.processes[place])
    }

    /// The processes that a name means: `NAME@I`, or `NAME` with all its instances.
    #[must_use]
    pub fn processes_named(&self, name: &str) -> Vec<Rc<supervise::Handle>> {
        let matches = |process: &&Rc<supervise::Handle>| {
            let id = process.id();
            id.to_string() == name || (id.instance.is_some() && id.name.as_str() == name)
        };
        self.processes.iter().filter(matches).cloned().collect()
    }
}
