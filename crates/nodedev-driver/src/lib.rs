//! The driver trait of nodedev, its errors and flags, the contract suite and the test driver.
