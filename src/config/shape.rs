//! Every key there is, by the table it belongs to. The reference in docs/ and the shipped `sluiced.toml` are held
//! against these lists by tests.

/// A table and its keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// As it is written, and as messages call it.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [&'static str],
}

/// The top of a file.
pub const ROOT: Shape = Shape {
    name: "the top level",
    keys: &["daemon", "control", "process", "route"],
};

/// `[daemon]`
pub const DAEMON: Shape = Shape {
    name: "[daemon]",
    keys: &["runtime-directory", "drain-timeout", "log-level", "relay-threads"],
};

/// `[control]`
pub const CONTROL: Shape = Shape {
    name: "[control]",
    keys: &["socket", "mode", "group", "read-group"],
};

/// `[process.NAME]`
pub const PROCESS: Shape = Shape {
    name: "[process.NAME]",
    keys: &[
        "command",
        "working-directory",
        "environment",
        "clear-environment",
        "user",
        "group",
        "umask",
        "no-new-privileges",
        "limits",
        "nice",
        "autostart",
        "instances",
        "restart",
        "success-exit",
        "restart-delay",
        "restart-delay-max",
        "start-limit",
        "stop-signal",
        "stop-timeout",
        "ready",
        "ready-timeout",
        "watchdog",
        "keep-stdin",
        "stdout",
        "stderr",
    ],
};

/// `start-limit` of a process.
pub const START_LIMIT: Shape = Shape {
    name: "start-limit",
    keys: &["burst", "interval"],
};

/// `limits` of a process.
pub const LIMITS: Shape = Shape {
    name: "limits",
    keys: &["nofile", "core", "as", "fsize", "nproc", "memlock"],
};

/// `[route.NAME]`
pub const ROUTE: Shape = Shape {
    name: "[route.NAME]",
    keys: &[
        "from",
        "to",
        "framing",
        "max-record",
        "distribution",
        "high-watermark",
        "low-watermark",
        "when-full",
        "rate-limit",
        "path",
        "start-paused",
    ],
};

/// The table form of an endpoint: its kind, and every setting of every kind.
pub const ENDPOINT: Shape = Shape {
    name: "an endpoint",
    keys: &[
        "process",
        "fifo",
        "file",
        "null",
        "on-eof",
        "create",
        "mode",
        "owner",
        "group",
        "pipe-size",
        "high-watermark",
        "low-watermark",
        "when-full",
        "when-gone",
    ],
};

/// The settings that every destination takes, whatever its kind.
pub const DESTINATION: &[&str] = &["high-watermark", "low-watermark", "when-full"];

/// The tables that a key can be put into by mistake.
pub(super) const TABLES: [&Shape; 5] = [&DAEMON, &CONTROL, &PROCESS, &ROUTE, &ENDPOINT];
