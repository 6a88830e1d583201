//! Stories of the whole planner: over a store and an embedded API of its own, with a clock that stands still.

mod crash;
mod drift;
mod life;
mod pace;
mod policy;
mod stage;
mod waivers;
