//! Agents that join over a real connection, honest and hostile.

mod fleet;
mod hostile;
