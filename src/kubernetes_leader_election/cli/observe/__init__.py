"""Follow Leases, judge them, and ask their holders: for several commands."""
