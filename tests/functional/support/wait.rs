//! Looking at states and waiting for them.

use serde_json::json;

use super::{Daemon, FifoReader, FifoWriter, Shown, check_law, check_records, until};

impl Daemon {
    /// A route by which [`Daemon::marker`] goes: put it into the config.
    pub const MARKER: &str = "
        [route.marker]
        from = \"fifo:marker-in\"
        to = \"fifo:marker-out\"
        ";

    /// All routes in one look. The law of accounting is checked on each, here and in every wait below.
    pub fn routes(&self) -> Vec<Shown> {
        let reply = self.call("ListRoutes", json!({}));
        let reply = reply.unwrap_or_else(|error| panic!("ListRoutes: {error:?}\n{}", self.log_tail()));
        let routes = reply.list("routes");
        for route in &routes {
            self.lawful(route);
        }
        routes
    }

    /// One route.
    pub fn route(&self, name: &str) -> Shown {
        let route = self.one("ListRoutes", "routes", name);
        self.lawful(&route);
        route
    }

    /// One process.
    pub fn process(&self, name: &str) -> Shown {
        self.one("ListProcesses", "processes", name)
    }

    fn one(&self, method: &str, list: &str, name: &str) -> Shown {
        let reply = self.call(method, json!({ "name": name }));
        let reply = reply.unwrap_or_else(|error| panic!("{method} {name}: {error:?}\n{}", self.log_tail()));
        let mut items = reply.list(list);
        assert_eq!(items.len(), 1, "{method} {name} shows {reply}");
        items.remove(0)
    }

    fn lawful(&self, route: &Shown) {
        if let Err(breach) = check_law(route) {
            panic!("{breach}\n{}", self.log_tail());
        }
    }

    /// `route.NAME` or `process.NAME`.
    pub fn look(&self, subject: &str) -> Shown {
        match subject.split_once('.') {
            Some(("route", name)) => self.route(name),
            Some(("process", name)) => self.process(name),
            _ => panic!("{subject:?} is neither route.NAME nor process.NAME"),
        }
    }

    /// Waits until `route.NAME` or `process.NAME` is in this state, and gives back how it was then.
    pub fn wait_for(&self, subject: &str, state: &str) -> Shown {
        self.wait_until(subject, state, |shown| shown.state() == state)
    }

    /// Waits until what is shown of `route.NAME` or `process.NAME` is as `holds` wants it; `what` says so in words.
    pub fn wait_until(&self, subject: &str, what: &str, holds: impl Fn(&Shown) -> bool) -> Shown {
        let mut last = None;
        let looked = std::cell::RefCell::new(&mut last);
        until(
            || {
                let shown = self.look(subject);
                let found = holds(&shown).then(|| shown.clone());
                **looked.borrow_mut() = Some(shown);
                found
            },
            || {
                let last = looked.borrow();
                let last = last.as_ref().map_or_else(String::new, ToString::to_string);
                format!("{subject} is not {what}, but {last}\n{}", self.log_tail())
            },
        )
    }

    /// Waits for the end of a route of records: so many of each source, all of them written to each destination.
    pub fn closed_with(&self, route: &str, records: &[u64]) -> Shown {
        let route = self.wait_for(&format!("route.{route}"), "closed");
        check_records(&route).unwrap_or_else(|breach| panic!("{breach}"));
        let sources = route.list("sources");
        let of_sources: Vec<u64> = sources.iter().map(|source| source.int("records")).collect();
        assert_eq!(of_sources, records, "{route}");
        assert!(sources.iter().all(|source| source.int("partialBytes") == 0), "{route}");
        for destination in route.list("destinations") {
            assert_eq!(destination.int("records"), records.iter().sum::<u64>(), "{route}");
        }
        route
    }

    /// Waits until a route has read exactly this many bytes from all its sources.
    pub fn wait_accepted(&self, route: &str, bytes: u64) -> Shown {
        let subject = format!("route.{route}");
        self.wait_until(&subject, &format!("at {bytes} accepted bytes"), |route| {
            route.int("acceptedBytes") >= bytes
        })
    }

    /// The process id of a process that runs.
    pub fn pid_of(&self, process: &str) -> i32 {
        let subject = format!("process.{process}");
        let shown = self.wait_until(&subject, "running", |process| process.maybe_int("pid").is_some());
        i32::try_from(shown.int("pid")).expect("a process id")
    }

    /// Pushes markers through the route of [`Daemon::MARKER`] and sees them arrive: what could have moved meanwhile on
    /// another route has had its turns.
    pub fn marker(&self) {
        let mut reader = FifoReader::open(self.fifo("marker-out"));
        let mut writer = FifoWriter::open(self.fifo("marker-in"));
        for round in 0..8_u8 {
            writer.write_all(&[round; 64]);
            assert_eq!(reader.read_exact(64), [round; 64], "the marker");
        }
    }
}
