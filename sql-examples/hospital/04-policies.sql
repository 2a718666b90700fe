-- Rows: an analyst sees the hospital that its attribute names, everywhere.

CREATE POLICY own_hospital ON hospitals TO analyst USING (hospital_id = principal_attribute('hospital_id')::int);
CREATE POLICY own_hospital ON patients TO analyst USING (hospital_id = principal_attribute('hospital_id')::int);
CREATE POLICY own_hospital ON encounters TO analyst USING (hospital_id = principal_attribute('hospital_id')::int);
CREATE POLICY own_hospital ON vitals TO analyst USING (hospital_id = principal_attribute('hospital_id')::int);
CREATE POLICY own_hospital ON care_team TO analyst USING (hospital_id = principal_attribute('hospital_id')::int);

-- A researcher sees every hospital. Row level security is on now, so this must be said.
CREATE POLICY all_hospitals ON hospitals TO researcher USING (true);
CREATE POLICY all_hospitals ON patients TO researcher USING (true);
CREATE POLICY all_hospitals ON encounters TO researcher USING (true);
CREATE POLICY all_hospitals ON vitals TO researcher USING (true);
CREATE POLICY all_hospitals ON care_team TO researcher USING (true);

-- Columns: what each may see of a value. A superuser sees it as it is.

CREATE MASKING POLICY no_name AS (val TEXT) RETURNS TEXT -> mask_null(val);

CREATE MASKING POLICY ssn_last4 AS (val TEXT) RETURNS TEXT ->
  CASE WHEN is_role_in_session('analyst') THEN mask_show_last(val, 4) ELSE mask_null(val) END;

CREATE MASKING POLICY birth_year AS (val DATE) RETURNS DATE -> truncate_to_year(val);

CREATE MASKING POLICY zip3 AS (val TEXT) RETURNS TEXT -> safe_harbor_zip(val);

-- The analyst can count and join by e-mail address without reading one.
CREATE MASKING POLICY email_token AS (val TEXT) RETURNS TEXT ->
  CASE WHEN is_role_in_session('analyst') THEN mask_hash(val, 'email') ELSE mask_null(val) END;

CREATE MASKING POLICY no_contact AS (val TEXT) RETURNS TEXT -> mask_null(val);

CREATE MASKING POLICY no_notes AS (val TEXT) RETURNS TEXT -> mask_null(val);

ALTER TABLE patients ALTER COLUMN name SET MASKING POLICY no_name;
ALTER TABLE patients ALTER COLUMN ssn SET MASKING POLICY ssn_last4;
ALTER TABLE patients ALTER COLUMN birth_date SET MASKING POLICY birth_year;
ALTER TABLE patients ALTER COLUMN zip SET MASKING POLICY zip3;
ALTER TABLE patients ALTER COLUMN email SET MASKING POLICY email_token;
ALTER TABLE patients ALTER COLUMN phone SET MASKING POLICY no_contact;
ALTER TABLE encounters ALTER COLUMN notes SET MASKING POLICY no_notes;
