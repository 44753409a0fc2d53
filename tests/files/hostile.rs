//! Another local user who wishes us ill.
