//! The command from outside: what it prints of given documents, and what it does with a daemon that is played.

mod bundle;
mod doctor;
mod machine;
mod models;
mod offline;
mod reference;
mod render;
mod support;
mod verbs;
mod work;
