//! Every key of a config, and what its change asks for. Each table is taken apart whole, so that a new key does not compile
//! until somebody has thought about it.

use crate::model::{Config, ControlSpec, DaemonSpec, DestinationSpec, ProcessSpec, RouteSpec};

/// What has changed of one process, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) retune: Vec<String>,
    pub(super) restart: Vec<String>,
}

impl Changes {
    pub(super) fn retune(&self) -> Option<String> {
        (!self.retune.is_empty()).then(|| self.retune.join(", "))
    }

    pub(super) fn restart(&self) -> Option<String> {
        (!self.restart.is_empty()).then(|| self.restart.join(", "))
    }
}

/// `a` and `b` changed.
pub(super) fn changed_words(keys: &[&'static str]) -> Option<String> {
    let (last, others) = keys.split_last()?;
    Some(match others {
        [] => format!("{last} has changed"),
        others => format!("{} and {last} have changed", others.join(", ")),
    })
}

/// The keys of those that differ.
fn differing(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    let differ = keys.iter().filter(|(_, same)| !same);
    differ.map(|(key, _)| *key).collect()
}

pub(super) fn that_need_a_restart(a: &Config, b: &Config) -> Vec<&'static str> {
    let DaemonSpec {
        runtime_directory,
        relay_threads,
        drain_timeout: _,
        log_level: _,
    } = &a.daemon;
    let ControlSpec {
        socket,
        mode,
        group,
        read_group,
    } = &a.control;
    differing(&[
        (
            "daemon.runtime-directory",
            *runtime_directory == b.daemon.runtime_directory,
        ),
        ("daemon.relay-threads", *relay_threads == b.daemon.relay_threads),
        ("control.socket", *socket == b.control.socket),
        ("control.mode", *mode == b.control.mode),
        ("control.group", *group == b.control.group),
        ("control.read-group", *read_group == b.control.read_group),
    ])
}

pub(super) fn of_daemon(a: &Config, b: &Config) -> Vec<&'static str> {
    differing(&[
        ("drain-timeout", a.daemon.drain_timeout == b.daemon.drain_timeout),
        ("log-level", a.daemon.log_level == b.daemon.log_level),
    ])
}

pub(super) fn of_process(a: &ProcessSpec, b: &ProcessSpec) -> Changes {
    let ProcessSpec {
        name: _,
        // Those that are the same process have both or neither.
        instances: _,
        command,
        working_directory,
        environment,
        clear_environment,
        user,
        group,
        umask,
        no_new_privileges,
        limits,
        nice,
        autostart,
        restart,
        success_exit,
        restart_delay,
        restart_delay_max,
        start_limit,
        stop_signal,
        stop_timeout,
        ready,
        ready_timeout,
        watchdog,
        keep_stdin,
        stdout,
        stderr,
    } = a;
    let anew = differing(&[
        ("command", *command == b.command),
        ("working-directory", *working_directory == b.working_directory),
        ("environment", *environment == b.environment),
        ("clear-environment", *clear_environment == b.clear_environment),
        ("user", *user == b.user),
        ("group", *group == b.group),
        ("umask", *umask == b.umask),
        ("no-new-privileges", *no_new_privileges == b.no_new_privileges),
        ("limits", *limits == b.limits),
        ("nice", *nice == b.nice),
        ("ready", *ready == b.ready),
    ]);
    let live = differing(&[
        ("autostart", *autostart == b.autostart),
        ("restart", *restart == b.restart),
        ("success-exit", *success_exit == b.success_exit),
        ("restart-delay", *restart_delay == b.restart_delay),
        ("restart-delay-max", *restart_delay_max == b.restart_delay_max),
        ("start-limit", *start_limit == b.start_limit),
        ("stop-signal", *stop_signal == b.stop_signal),
        ("stop-timeout", *stop_timeout == b.stop_timeout),
        ("ready-timeout", *ready_timeout == b.ready_timeout),
        ("watchdog", *watchdog == b.watchdog),
        ("keep-stdin", *keep_stdin == b.keep_stdin),
        ("stdout", *stdout == b.stdout),
        ("stderr", *stderr == b.stderr),
    ]);
    Changes {
        retune: changed_words(&live).into_iter().collect(),
        restart: changed_words(&anew).into_iter().collect(),
    }
}

/// The keys of a route of which a change means that it is closed and opened anew, and those that change while it runs.
pub(super) fn of_route(a: &RouteSpec, b: &RouteSpec) -> (Vec<&'static str>, Vec<&'static str>) {
    let RouteSpec {
        name: _,
        // Endpoint by endpoint.
        from: _,
        to: _,
        framing,
        max_record,
        distribution,
        rate_limit,
        path,
        start_paused,
    } = a;
    let anew = differing(&[
        ("framing", *framing == b.framing),
        ("max-record", *max_record == b.max_record),
        ("distribution", *distribution == b.distribution),
        ("path", *path == b.path),
    ]);
    let live = differing(&[
        ("rate-limit", *rate_limit == b.rate_limit),
        ("start-paused", *start_paused == b.start_paused),
    ]);
    (anew, live)
}

/// The same of a destination.
pub(super) fn of_destination(a: &DestinationSpec, b: &DestinationSpec) -> (Vec<&'static str>, Vec<&'static str>) {
    let DestinationSpec {
        endpoint,
        high_watermark,
        low_watermark,
        when_full,
        when_gone,
    } = a;
    let anew = differing(&[("settings", *endpoint == b.endpoint)]);
    let live = differing(&[
        ("high-watermark", *high_watermark == b.high_watermark),
        ("low-watermark", *low_watermark == b.low_watermark),
        ("when-full", *when_full == b.when_full),
        ("when-gone", *when_gone == b.when_gone),
    ]);
    (anew, live)
}
