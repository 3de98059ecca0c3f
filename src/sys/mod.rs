//! The only unsafe code and the only raw system calls, one file a subject. Depends on nothing but `model`.
#![allow(unsafe_code)]

pub mod clock;
