//! What is read and checked already, and has no effect yet: refused when it is set to anything but its default, never
//! ignored in silence. Whoever builds an effect deletes its line.

use super::shape::{CONTROL, Shape};

const KEYS: &[(&Shape, &str)] = &[(&CONTROL, "group"), (&CONTROL, "read-group")];

/// Whether this key of this table has no effect yet.
pub(super) fn is(shape: &Shape, key: &str) -> bool {
    KEYS.contains(&(shape, key))
}
