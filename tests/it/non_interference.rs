//! Governed tables answer as physically filtered and masked copies do.
