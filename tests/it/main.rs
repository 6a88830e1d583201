//! Stories through the whole program, in one binary so that it links once.
