//! Stories through the whole program, in one binary so that it links once.

// `cfg(test)` is always on here; saying it tells clippy that helpers, too, are test code.
#[cfg(test)]
mod access;
#[cfg(test)]
mod assignments;
#[cfg(test)]
mod baselines;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod compliance;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod control_plane;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod enrolling;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod guarantees;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod image;
#[cfg(test)]
mod informers;
#[cfg(test)]
mod kubectl;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod lint;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod mscp;
#[cfg(test)]
mod plugin;
#[cfg(test)]
mod pull_requests;
#[cfg(test)]
mod push;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod revisions;
#[cfg(test)]
mod running;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod scep;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod waivers;
#[cfg(test)]
mod world;
