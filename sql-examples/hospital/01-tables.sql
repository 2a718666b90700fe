-- Ten hospitals share one lake. Every table but the first says which hospital a row belongs to.

CREATE TABLE hospitals (
  hospital_id INT,
  name TEXT,
  city TEXT,
  state TEXT
);

CREATE TABLE patients (
  patient_id BIGINT,
  name TEXT,
  ssn TEXT,
  birth_date DATE,
  zip TEXT,
  hospital_id INT,
  gender TEXT,
  age INT,
  email TEXT,
  phone TEXT
);

CREATE TABLE encounters (
  encounter_id BIGINT,
  patient_id BIGINT,
  hospital_id INT,
  admitted_at TIMESTAMP,
  discharged_at TIMESTAMP,
  diagnosis_code TEXT,
  notes TEXT
);

CREATE TABLE vitals (
  patient_id BIGINT,
  hospital_id INT,
  heart_rate INT,
  blood_pressure INT,
  oxygen_saturation INT,
  ts TIMESTAMP
);

-- Who looks after whom: clinicians by login name.
CREATE TABLE care_team (
  clinician TEXT,
  patient_id BIGINT,
  hospital_id INT
);
