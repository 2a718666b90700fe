//! psql's and drivers' own queries, over a catalog in memory, as three different people.

mod drivers;
mod fixture;
mod psql;
mod visibility;
