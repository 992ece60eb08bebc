//! dupgen
