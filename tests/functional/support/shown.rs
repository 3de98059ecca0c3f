//! What the control socket shows, with accessors that show the whole of it when something is missing.

use serde_json::Value;

/// A JSON object of a reply: a route, a source, a process, an event …
#[derive(Clone, Debug, PartialEq)]
pub struct Shown(pub Value);

impl Shown {
    /// The field, null when it is not there.
    pub fn field(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// A string that must be there.
    pub fn text(&self, key: &str) -> &str {
        let text = self.field(key).as_str();
        text.unwrap_or_else(|| panic!("no string {key:?} in {self}"))
    }

    /// A string, empty when it is not there.
    pub fn text_or_empty(&self, key: &str) -> &str {
        self.field(key).as_str().unwrap_or("")
    }

    /// A number that must be there and not negative.
    pub fn int(&self, key: &str) -> u64 {
        let number = self.field(key).as_u64();
        number.unwrap_or_else(|| panic!("no number {key:?} in {self}"))
    }

    /// A number, where it is there.
    pub fn maybe_int(&self, key: &str) -> Option<u64> {
        self.field(key).as_u64()
    }

    /// A truth value that must be there.
    pub fn flag(&self, key: &str) -> bool {
        let flag = self.field(key).as_bool();
        flag.unwrap_or_else(|| panic!("no boolean {key:?} in {self}"))
    }

    /// The object in a field that must be there.
    pub fn object(&self, key: &str) -> Shown {
        assert!(self.field(key).is_object(), "no object {key:?} in {self}");
        Shown(self.field(key).clone())
    }

    /// The objects of a list that must be there.
    pub fn list(&self, key: &str) -> Vec<Shown> {
        let list = self.field(key).as_array();
        let list = list.unwrap_or_else(|| panic!("no list {key:?} in {self}"));
        list.iter().cloned().map(Shown).collect()
    }

    /// `state`, of whatever has one.
    pub fn state(&self) -> &str {
        self.text("state")
    }

    /// A route's `pauseReasons`.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.list("pauseReasons");
        reasons
            .iter()
            .filter_map(|reason| reason.0.as_str().map(str::to_owned))
            .collect()
    }

    /// Whether a route is paused for exactly this.
    pub fn paused_only_for(&self, reason: &str) -> bool {
        self.state() == "paused" && self.reasons() == [reason]
    }

    /// A route's source, counted from 0.
    pub fn source(&self, index: usize) -> Shown {
        let sources = self.list("sources");
        sources
            .get(index)
            .cloned()
            .unwrap_or_else(|| panic!("no source {index} in {self}"))
    }

    /// How many records longer than max-record a source has had.
    pub fn oversized(&self) -> u64 {
        self.maybe_int("oversizedRecords").unwrap_or(0)
    }

    /// A route's destination, counted from 0.
    pub fn destination(&self, index: usize) -> Shown {
        let destinations = self.list("destinations");
        destinations
            .get(index)
            .cloned()
            .unwrap_or_else(|| panic!("no destination {index} in {self}"))
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}
