-- Notes for research: read, de-identified, written, as one statement. It may be run again at any time: the table is
-- replaced in one commit, and readers see the old rows until then.

CREATE TABLE patient_notes_deid (
  encounter_id BIGINT,
  patient TEXT,
  admitted_at TIMESTAMP,
  age INT,
  zip3 TEXT,
  notes TEXT
);

INSERT OVERWRITE patient_notes_deid
SELECT e.encounter_id,
       hmac_token(p.patient_id::text, 'research'),
       date_shift(e.admitted_at, p.patient_id),
       safe_harbor_age(p.age),
       safe_harbor_zip(p.zip),
       de_identify(e.notes, hints => ARRAY[p.name, p.ssn, p.phone, p.email])
FROM encounters e
JOIN patients p ON p.patient_id = e.patient_id;

-- What is left? Nothing that the rules know.
SELECT count(*) AS notes, count(*) FILTER (WHERE phi_contains(notes)) AS with_identifiers FROM patient_notes_deid;

-- What was found, by kind?
SELECT (f).entity, count(*) AS found, round(avg((f).score)::numeric, 2) AS score
FROM (SELECT unnest(phi_detect(notes)) AS f FROM encounters) AS x
GROUP BY 1
ORDER BY 2 DESC, 1;
