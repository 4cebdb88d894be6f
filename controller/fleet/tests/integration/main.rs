//! Agents that join over a real connection, honest and hostile, and strangers.

mod fleet;
mod hostile;
mod signatures;
mod strangers;
