//! The environment of a child. What systemd (and, at an upgrade, its last life) told the daemon about itself is not for
//! its children: a child that found NOTIFY_SOCKET would speak for the daemon, one that found LISTEN_FDS would take
//! descriptors that it does not have, and JOURNAL_STREAM names the daemon's own stderr.

use std::ffi::{OsStr, OsString};

use crate::model::{ProcessId, ProcessSpec};

/// Never inherited, but may be given by `environment`. sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3),
/// systemd.exec(5).
const NOT_INHERITED: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MAINPID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "SLUICED_PROCESS",
    "SLUICED_INSTANCE",
    "SLUICED_HANDOVER",
];

/// The whole environment: the daemon's (`inherited`), unless it is cleared, then what the user's login sets or takes
/// away, then what the spec adds, then SLUICED_PROCESS and SLUICED_INSTANCE (empty for a process without instances), and
/// where it is to notify: NOTIFY_SOCKET and WATCHDOG_USEC. WATCHDOG_PID is nobody's but the child's own, which is not
/// known yet.
pub(super) fn environment(
    spec: &ProcessSpec,
    id: &ProcessId,
    login: Vec<(&'static str, Option<OsString>)>,
    inherited: impl Iterator<Item = (OsString, OsString)>,
    notify: Option<&str>,
) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    if !spec.clear_environment {
        variables.extend(inherited.filter(|(key, _)| !NOT_INHERITED.iter().any(|name| key == name)));
    }
    for (key, value) in login {
        variables.retain(|(present, _)| present != key);
        variables.extend(value.map(|value| (key.into(), value)));
    }
    let instance = id.instance.map(|number| number.to_string()).unwrap_or_default();
    let own = [
        ("SLUICED_PROCESS", id.name.as_str()),
        ("SLUICED_INSTANCE", instance.as_str()),
    ];
    let given = spec
        .environment
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let watchdog = spec.watchdog.map(|every| every.as_micros().to_string());
    let notify = notify.map(|address| ("NOTIFY_SOCKET", address));
    let watchdog = watchdog.as_deref().map(|every| ("WATCHDOG_USEC", every));
    for (key, value) in given.chain(own).chain(notify).chain(watchdog) {
        variables.retain(|(present, _)| present != key);
        variables.push((OsStr::new(key).to_owned(), OsStr::new(value).to_owned()));
    }
    if watchdog.is_some() {
        variables.retain(|(present, _)| present != "WATCHDOG_PID");
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::process::tests::spec;
    use crate::model::Name;

    fn shown(spec: &ProcessSpec, instance: Option<u16>, notify: Option<&str>) -> Vec<String> {
        shown_of(spec, instance, Vec::new(), notify)
    }

    fn shown_of(
        spec: &ProcessSpec,
        instance: Option<u16>,
        login: Vec<(&'static str, Option<OsString>)>,
        notify: Option<&str>,
    ) -> Vec<String> {
        let id = ProcessId {
            name: Name::new("p").unwrap(),
            instance,
        };
        let inherited = [
            ("A", "1"),
            ("B", "2"),
            ("NOTIFY_SOCKET", "/x"),
            ("SLUICED_INSTANCE", "9"),
        ];
        environment(
            spec,
            &id,
            login,
            inherited.map(|(key, value)| (key.into(), value.into())).into_iter(),
            notify,
        )
        .into_iter()
        .map(|(key, value)| format!("{}={}", key.display(), value.display()))
        .collect()
    }

    #[test]
    fn the_daemons_then_the_specs_then_its_name() {
        let mut spec = spec();
        spec.environment = vec![
            ("B".to_owned(), "3".to_owned()),
            ("NOTIFY_SOCKET".to_owned(), "/y".to_owned()),
        ];
        let expected = [
            "A=1",
            "B=3",
            "NOTIFY_SOCKET=/y",
            "SLUICED_PROCESS=p",
            "SLUICED_INSTANCE=",
        ];
        assert_eq!(shown(&spec, None, None), expected);
        spec.clear_environment = true;
        let expected = ["B=3", "NOTIFY_SOCKET=/y", "SLUICED_PROCESS=p", "SLUICED_INSTANCE=2"];
        assert_eq!(shown(&spec, Some(2), None), expected);
    }

    #[test]
    fn where_it_is_to_notify() {
        let mut spec = spec();
        spec.clear_environment = true;
        spec.environment = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]
            .map(|key| (key.to_owned(), "/y".to_owned()))
            .to_vec();
        spec.watchdog = Some(std::time::Duration::from_millis(1500));
        let expected = [
            "SLUICED_PROCESS=p",
            "SLUICED_INSTANCE=",
            "NOTIFY_SOCKET=@x",
            "WATCHDOG_USEC=1500000",
        ];
        assert_eq!(shown(&spec, None, Some("@x")), expected);
    }

    #[test]
    fn a_login_comes_between_the_daemons_and_the_specs() {
        let login = || vec![("A", Some("login".into())), ("B", None), ("C", Some("login".into()))];
        let mut spec = spec();
        spec.environment = vec![("C".to_owned(), "spec".to_owned())];
        let expected = ["A=login", "C=spec", "SLUICED_PROCESS=p", "SLUICED_INSTANCE="];
        assert_eq!(shown_of(&spec, None, login(), None), expected);
        spec.clear_environment = true;
        assert_eq!(shown_of(&spec, None, login(), None), expected);
    }
}
