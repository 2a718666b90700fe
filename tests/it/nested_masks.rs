//! Masks of structs, maps and arrays: all of a value, or nothing.

use crate::harness::{Lab, python};

#[test]
fn nested_columns_are_masked_whole() {
    let lab = Lab::open(
        "CREATE ROLE privacy; CREATE ROLE nurse LOGIN PASSWORD 'secret';
         CREATE ROLE officer LOGIN PASSWORD 'secret' IN ROLE privacy;
         CREATE TABLE words (id int, said text[]); INSERT INTO words VALUES (1, ARRAY['raw', 'words']), (2, NULL);",
    );
    let path = lab.place("nested");
    python("nested.py", &["write", &path.display().to_string()]);
    let admin = lab.psql("admin");
    admin.rows(&format!("CREATE EXTERNAL TABLE nested STORED AS DELTA LOCATION 'file://{}/'", path.display()));
    admin.rows(
        "GRANT SELECT ON nested, words TO nurse, officer;
         CREATE MASKING POLICY document AS (val jsonb) RETURNS jsonb ->
           CASE WHEN is_role_in_session('privacy') THEN val ELSE mask_null(val) END;
         CREATE MASKING POLICY own_documents AS (val jsonb[], id bigint) RETURNS jsonb[] ->
           CASE WHEN id > 1 OR is_role_in_session('privacy') THEN val END;
         CREATE MASKING POLICY words AS (val text[]) RETURNS text[] ->
           CASE WHEN is_role_in_session('privacy') THEN val ELSE mask_null(val) END;
         ALTER TABLE nested ALTER COLUMN name SET MASKING POLICY document;
         ALTER TABLE nested ALTER COLUMN tags SET MASKING POLICY document;
         ALTER TABLE nested ALTER COLUMN visits SET MASKING POLICY own_documents USING (visits, id);
         ALTER TABLE words ALTER COLUMN said SET MASKING POLICY words;",
    );
    let all = "SELECT id, name, tags, visits FROM nested ORDER BY id";
    let (nurse, officer) = (lab.psql("nurse"), lab.psql("officer"));
    assert_eq!(officer.rows(all), admin.rows(all), "nothing is lost on the way through a mask");
    assert_eq!(nurse.rows(all), "1|||\n2|||{}\n3|||");
    for (asked, expected) in [
        ("SELECT name->>'given', (name).age FROM nested WHERE id = 1", "|"),
        ("SELECT count(*) FROM nested WHERE name->>'given' = 'Ann'", "0"),
        ("SELECT count(name), count(tags), count(visits) FROM nested", "0|0|1"),
        ("SELECT count(DISTINCT name->>'given') FROM nested VERSION AS OF 0", "0"),
        ("SELECT count(said), max(array_to_string(said, ' ')) FROM words", "0|"),
    ] {
        assert_eq!(nurse.rows(asked), expected, "{asked}");
    }
    assert_eq!(officer.rows("SELECT name->>'given' FROM nested WHERE id = 1"), "Ann");
    assert_eq!(officer.rows("SELECT said FROM words WHERE id = 1"), "{raw,words}");

    // A mask gives the type that it takes: a text, or another document, is none.
    for body in ["'***'", "val->>'given'", "'{}'::jsonb"] {
        let refused = format!("CREATE MASKING POLICY other AS (val jsonb) RETURNS jsonb -> {body}");
        assert_eq!(admin.fails(&refused).0, "42804", "{body}");
    }
    let other = "ALTER TABLE words ALTER COLUMN said SET MASKING POLICY document";
    assert_eq!(admin.fails(other).0, "42804");
}
