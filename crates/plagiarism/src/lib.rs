//! plagiarism
