-- Questions that an analyst asks. Whoever runs them sees the answer for the rows and values that they may see: the
-- analyst of hospital 3 for hospital 3, the researcher and the administrator for all ten.

-- How old are the patients, and how many are there?
SELECT gender, count(*) AS patients, round(avg(age), 1) AS average_age
FROM patients
GROUP BY gender
ORDER BY gender;

-- Which hospitals' patients come back within 30 days of going home?
WITH stays AS (
  SELECT hospital_id, discharged_at,
         lead(admitted_at) OVER (PARTITION BY patient_id ORDER BY admitted_at) AS next_admission
  FROM encounters
)
SELECT h.name AS hospital,
       count(*) AS discharges,
       count(CASE WHEN s.next_admission <= s.discharged_at + INTERVAL '30 days' THEN 1 END) AS readmissions,
       round(100.0 * count(CASE WHEN s.next_admission <= s.discharged_at + INTERVAL '30 days' THEN 1 END) / count(*), 1)
         AS readmission_percent
FROM stays s
JOIN hospitals h ON h.hospital_id = s.hospital_id
GROUP BY h.name
ORDER BY readmission_percent DESC, hospital;

-- What are people treated for?
SELECT diagnosis_code, count(*) AS encounters, count(DISTINCT patient_id) AS patients
FROM encounters
GROUP BY diagnosis_code
ORDER BY encounters DESC, diagnosis_code
LIMIT 10;

-- Who is at risk? Points for age, for often being admitted, and for worrying vitals.
WITH stays AS (
  SELECT patient_id, count(*) AS admissions
  FROM encounters
  GROUP BY patient_id
),
worst AS (
  SELECT patient_id, max(heart_rate) AS heart_rate, min(oxygen_saturation) AS oxygen_saturation
  FROM vitals
  GROUP BY patient_id
),
points AS (
  SELECT p.patient_id,
         CASE WHEN p.age >= 75 THEN 2 WHEN p.age >= 60 THEN 1 ELSE 0 END
         + CASE WHEN s.admissions >= 5 THEN 2 WHEN s.admissions >= 3 THEN 1 ELSE 0 END
         + CASE WHEN w.heart_rate >= 120 THEN 1 ELSE 0 END
         + CASE WHEN w.oxygen_saturation < 90 THEN 1 ELSE 0 END AS score
  FROM patients p
  JOIN stays s ON s.patient_id = p.patient_id
  JOIN worst w ON w.patient_id = p.patient_id
)
SELECT CASE WHEN score >= 4 THEN 'high' WHEN score >= 2 THEN 'medium' ELSE 'low' END AS risk,
       count(*) AS patients,
       round(avg(score), 2) AS average_score
FROM points
GROUP BY risk
ORDER BY average_score DESC;

-- How do diagnoses show in the vitals that were taken during the stay?
SELECT e.diagnosis_code, round(avg(v.heart_rate), 1) AS heart_rate, round(avg(v.oxygen_saturation), 1) AS oxygen_saturation
FROM vitals v
JOIN encounters e ON e.patient_id = v.patient_id AND v.ts BETWEEN e.admitted_at AND e.discharged_at
GROUP BY e.diagnosis_code
ORDER BY heart_rate DESC, e.diagnosis_code
LIMIT 5;
