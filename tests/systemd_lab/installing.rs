//! What is shipped, as the README installs it.

use crate::Story;
use crate::lab::Lab;
use crate::service::UNIT;

pub const STORIES: &[Story] = &[
    ("the_units_verify_without_a_word", the_units_verify_without_a_word),
    ("the_exposure_is_as_promised", the_exposure_is_as_promised),
];

/// systemd-analyze(1), verify: unknown keys, missing programs, cycles.
fn the_units_verify_without_a_word(lab: &Lab) {
    let verified = lab.run(&[
        "systemd-analyze",
        "verify",
        "--recursive-errors=yes",
        UNIT,
        "sluiced.socket",
    ]);
    assert_eq!((verified.code, &*verified.stdout, &*verified.stderr), (0, "", ""));
}

/// systemd-analyze(1), security: docs/design/0008 has the numbers.
fn the_exposure_is_as_promised(lab: &Lab) {
    let exposed = |limit: &str| {
        let threshold = format!("--threshold={limit}");
        lab.run(&["systemd-analyze", "security", &threshold, UNIT])
    };
    exposed("22").expect_code(0);
}
