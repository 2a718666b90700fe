-- Three people beside the administrator. Passwords are set apart from this file: ALTER ROLE analyst PASSWORD '…'.

-- An analyst of hospital 3. The attribute belongs to the login and cannot be changed by its owner.
CREATE ROLE analyst LOGIN;
ALTER ROLE analyst SET ATTRIBUTE hospital_id = '3';

-- A researcher: all hospitals, no names.
CREATE ROLE researcher LOGIN;

-- A privacy officer reads who read what, and no patient.
CREATE ROLE privacy_officer LOGIN;
GRANT auditor TO privacy_officer;

-- Nobody has access to a table until granted.
GRANT SELECT ON hospitals TO analyst;
GRANT SELECT ON patients TO analyst;
GRANT SELECT ON encounters TO analyst;
GRANT SELECT ON vitals TO analyst;
GRANT SELECT ON care_team TO analyst;

GRANT SELECT ON hospitals TO researcher;
GRANT SELECT ON patients TO researcher;
GRANT SELECT ON encounters TO researcher;
GRANT SELECT ON vitals TO researcher;
GRANT SELECT ON care_team TO researcher;
