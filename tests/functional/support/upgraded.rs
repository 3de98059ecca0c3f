//! Upgrades of a daemon under test, and what they may not change.

use serde_json::{Value, json};

use super::{Client, Daemon, Deadline, PATIENCE, Shown, until};

/// Moments are computed from two clocks.
const JITTER_USEC: u64 = 20_000;

impl Daemon {
    /// Upgrades it. The reply has to come from the next life of the same process, and over it no counter may fall.
    pub fn upgrade(&self) -> u64 {
        let before = self.routes();
        let life = self.life();
        let reply = self.call("Upgrade", json!({}));
        let reply = reply.unwrap_or_else(|error| panic!("Upgrade: {error:?}\n{}", self.log_tail()));
        assert_eq!(reply.int("pid"), u64::from(self.pid().unsigned_abs()), "{reply}");
        assert_eq!(reply.int("life"), life + 1, "{reply}");
        assert_eq!(self.life(), life + 1);
        for (before, after) in before.iter().zip(self.routes()) {
            nothing_falls(before, &after);
        }
        life + 1
    }

    /// Upgrades it while nothing moves: what is shown of these, `route.NAME` or `process.NAME`, is as it was.
    pub fn upgrade_at_rest(&self, subjects: &[&str]) {
        let before: Vec<Shown> = subjects.iter().map(|subject| self.look(subject)).collect();
        self.upgrade();
        for (subject, before) in subjects.iter().zip(&before) {
            is_as_before(before, &self.look(subject), subject);
        }
    }

    /// An upgrade that has to be refused; with what error and words.
    pub fn refuses_to_upgrade(&self) -> (String, String) {
        let life = self.life();
        let error = self.call("Upgrade", json!({})).expect_err("an upgrade that is refused");
        assert_eq!(self.life(), life, "{error:?}");
        let name = error.name.trim_start_matches("io.sluiced.Relay.").to_owned();
        let words = ["text", "what"].map(|field| error.parameters.text_or_empty(field).to_owned());
        (name, words.concat())
    }

    /// GetStatus.life
    pub fn life(&self) -> u64 {
        let status = self.call("GetStatus", json!({}));
        status
            .unwrap_or_else(|error| panic!("GetStatus: {error:?}"))
            .int("life")
    }

    /// The same, where an upgrade may be under way and end the connection.
    pub fn life_now(&self) -> Option<u64> {
        let mut client = Client::connect(&self.place().socket()).ok()?;
        let reply = client.try_call("GetStatus", json!({}))?;
        reply.ok().map(|status| status.int("life"))
    }

    /// Waits until it has come to this life, or one behind it.
    pub fn wait_for_life(&self, life: u64) -> u64 {
        until(
            || self.life_now().filter(|now| *now >= life),
            || format!("life {life} has not come\n{}", self.log_tail()),
        )
    }
}

impl Client {
    /// Calls; `None` when the daemon has ended the connection before its reply.
    #[expect(clippy::needless_pass_by_value, reason = "so that a story can write json! in place")]
    pub fn try_call(&mut self, method: &str, parameters: Value) -> Option<Result<Shown, super::CallError>> {
        self.try_send_call(method, &parameters).ok()?;
        let reply = self.receive_within(&Deadline::within(PATIENCE));
        let reply = reply.unwrap_or_else(|| panic!("{method}: neither a reply nor an end within {PATIENCE:?}"))?;
        Some(super::client::parameters_of(&reply))
    }
}

/// Counters go on.
pub fn nothing_falls(before: &Shown, after: &Shown) {
    let rises = |before: &Shown, after: &Shown, fields: &[&str]| {
        assert_eq!(before.text("name"), after.text("name"));
        for field in fields {
            let (was, is) = (before.maybe_int(field), after.maybe_int(field));
            assert!(is >= was, "{field} falls from {was:?} to {is:?}: {before}\n{after}");
        }
    };
    rises(
        before,
        after,
        &["acceptedBytes", "acceptedRecords", "retiredBytes", "pauses"],
    );
    let of_ends = ["bytes", "records", "droppedBytes", "droppedRecords", "fromBytes"];
    for list in ["sources", "destinations"] {
        let (before, after) = (before.list(list), after.list(list));
        assert_eq!(before.len(), after.len());
        before
            .iter()
            .zip(&after)
            .for_each(|(before, after)| rises(before, after, &of_ends));
    }
}

/// Everything that is shown, but for what goes on by itself, and the path that `auto` happens to take.
fn is_as_before(before: &Shown, after: &Shown, subject: &str) {
    let (mut was, mut is) = (before.0.clone(), after.0.clone());
    for moment in ["startedAtUSec", "pausedSinceUSec"] {
        let (was, is) = (before.maybe_int(moment), after.maybe_int(moment));
        let apart = was.zip(is).map(|(was, is)| was.abs_diff(is));
        assert_eq!(was.is_some(), is.is_some(), "{moment} of {subject}: {before}\n{after}");
        assert!(
            apart <= Some(JITTER_USEC),
            "{moment} of {subject} has moved: {before}\n{after}"
        );
    }
    let own = [
        // Counted when they have lasted 100 ms.
        "pauses",
        "startedAtUSec",
        "pausedSinceUSec",
        "pausedUSec",
        "path",
        "memoryBytes",
        "cpuUSec",
        "nextStartInUSec",
    ];
    for shown in [&mut was, &mut is] {
        let fields = shown.as_object_mut().expect("an object");
        own.iter().for_each(|field| drop(fields.remove(*field)));
        for list in ["sources", "destinations"] {
            let ends = fields.get_mut(list).and_then(Value::as_array_mut);
            for end in ends.into_iter().flatten().filter_map(Value::as_object_mut) {
                // By polling first, and then by inotify; how often is asked where it is the subject.
                ["waitsBy", "opens"].iter().for_each(|field| drop(end.remove(*field)));
            }
        }
    }
    assert_eq!(was, is, "{subject} is not as it was before the upgrade");
}
