-- `lakeward demo` has filled the tables with synthetic people: the same on every machine. This is what there is.

SELECT 'hospitals' AS table_name, count(*) AS row_count FROM hospitals
UNION ALL SELECT 'patients', count(*) FROM patients
UNION ALL SELECT 'encounters', count(*) FROM encounters
UNION ALL SELECT 'vitals', count(*) FROM vitals
UNION ALL SELECT 'care_team', count(*) FROM care_team
ORDER BY table_name;
