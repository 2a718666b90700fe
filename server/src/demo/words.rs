//! The words that the synthetic data is made of. No person, hospital or address here exists.

/// Hospitals: name, city, state, the first three digits of the ZIP codes around it, the share of patients (of 100) and
/// the chance, in percent, that a stay is followed by another within 30 days.
pub const HOSPITALS: [(&str, &str, &str, &str, u64, u64); 10] = [
    ("Cedar Ridge Medical Center", "Portland", "OR", "972", 14, 12),
    ("Lakeshore General Hospital", "Chicago", "IL", "606", 13, 15),
    ("St. Brigid Hospital", "Boston", "MA", "021", 11, 11),
    ("Prairie View Regional", "Omaha", "NE", "681", 10, 14),
    ("Mesa Verde Clinic", "Tucson", "AZ", "857", 10, 10),
    ("Harborview Community Hospital", "Baltimore", "MD", "212", 9, 17),
    ("Blue Hollow Medical Center", "Nashville", "TN", "372", 9, 13),
    ("Granite State Hospital", "Manchester", "NH", "031", 8, 9),
    ("Bayou Memorial", "New Orleans", "LA", "701", 8, 18),
    ("High Desert Hospital", "Reno", "NV", "895", 8, 12),
];

/// ZIP prefixes that the Safe Harbor method suppresses: fewer than 20,000 people live there.
pub const SPARSE_ZIPS: [&str; 6] = ["036", "059", "102", "203", "556", "893"];

/// Given names of women.
pub const FEMALE: [&str; 40] = [
    "Abigail",
    "Aisha",
    "Alice",
    "Amara",
    "Ana",
    "Beatrice",
    "Camila",
    "Charlotte",
    "Chloe",
    "Clara",
    "Daniela",
    "Diana",
    "Elena",
    "Emma",
    "Esther",
    "Fatima",
    "Grace",
    "Hannah",
    "Ingrid",
    "Isabel",
    "Jasmine",
    "Julia",
    "Keiko",
    "Laura",
    "Leila",
    "Lucia",
    "Mei",
    "Mia",
    "Nadia",
    "Naomi",
    "Nora",
    "Olivia",
    "Priya",
    "Rosa",
    "Ruth",
    "Sofia",
    "Thandi",
    "Valeria",
    "Yara",
    "Zoe",
];

/// Given names of men.
pub const MALE: [&str; 40] = [
    "Adam", "Ahmed", "Alan", "Andre", "Anthony", "Benjamin", "Carlos", "Chen", "Daniel", "David", "Diego", "Elias",
    "Ethan", "Felix", "Gabriel", "George", "Hassan", "Henry", "Hiroshi", "Isaac", "Ivan", "Jamal", "James", "Jorge",
    "Kofi", "Leo", "Liam", "Lucas", "Marcus", "Mateo", "Nathan", "Noah", "Omar", "Oscar", "Paul", "Ravi", "Samuel",
    "Theo", "Victor", "William",
];

/// Family names.
pub const FAMILY: [&str; 60] = [
    "Abara", "Adler", "Alvarez", "Andersen", "Bailey", "Banerjee", "Becker", "Bennett", "Brooks", "Campbell",
    "Castillo", "Chen", "Cohen", "Cruz", "Diallo", "Dubois", "Evans", "Farah", "Fischer", "Foster", "Garcia",
    "Gonzalez", "Greene", "Gupta", "Hansen", "Harris", "Hayes", "Herrera", "Hughes", "Ibrahim", "Ito", "Jackson",
    "Jensen", "Kaplan", "Khan", "Kim", "Kowalski", "Lee", "Lopez", "Martin", "Mensah", "Miller", "Morales", "Morgan",
    "Murphy", "Nakamura", "Nguyen", "Novak", "Okafor", "Olsen", "Patel", "Peterson", "Ramirez", "Reyes", "Rossi",
    "Santos", "Schmidt", "Silva", "Walker", "Young",
];

/// A diagnosis: its code, the least and greatest age it is given at, its weight, the days of a usual stay, how much it
/// raises the chance of coming back (percent), how it moves heart rate, blood pressure and oxygen, and what is noted.
pub struct Diagnosis {
    /// ICD-10-CM code.
    pub code: &'static str,
    /// Youngest and oldest age.
    pub ages: (i64, i64),
    /// For women only.
    pub women_only: bool,
    /// How often, against the others.
    pub weight: u64,
    /// Usual days of stay.
    pub days: u64,
    /// Added to the chance of readmission, in percent.
    pub returns: u64,
    /// Added to heart rate, systolic blood pressure and oxygen saturation.
    pub shift: (i64, i64, i64),
    /// What the note says.
    pub note: &'static str,
}

const fn diagnosis(
    code: &'static str,
    ages: (i64, i64),
    weight: u64,
    days: u64,
    returns: u64,
    shift: (i64, i64, i64),
    note: &'static str,
) -> Diagnosis {
    Diagnosis { code, ages, women_only: false, weight, days, returns, shift, note }
}

/// The diagnoses.
pub const DIAGNOSES: [Diagnosis; 16] = [
    diagnosis(
        "I10",
        (30, 110),
        12,
        2,
        0,
        (2, 28, 0),
        "Elevated blood pressure, no end-organ damage. Lisinopril increased.",
    ),
    diagnosis(
        "E11.9",
        (25, 110),
        11,
        3,
        1,
        (3, 8, 0),
        "Type 2 diabetes, glucose above target. Insulin titrated, diet reviewed.",
    ),
    diagnosis(
        "I50.9",
        (45, 110),
        8,
        5,
        9,
        (16, -4, -4),
        "Shortness of breath and leg swelling. IV furosemide, daily weights.",
    ),
    diagnosis(
        "J18.9",
        (0, 110),
        9,
        4,
        3,
        (18, -6, -5),
        "Productive cough and fever, infiltrate on chest film. Ceftriaxone started.",
    ),
    diagnosis(
        "J44.1",
        (40, 110),
        7,
        4,
        8,
        (12, 2, -6),
        "COPD exacerbation. Nebulizers and prednisone, weaned to room air.",
    ),
    diagnosis(
        "N18.3",
        (40, 110),
        6,
        3,
        4,
        (2, 14, 0),
        "Chronic kidney disease stage 3, creatinine stable. Nephrology follow-up.",
    ),
    diagnosis(
        "I48.91",
        (50, 110),
        6,
        3,
        4,
        (34, -2, -1),
        "Palpitations, atrial fibrillation with rapid response. Rate controlled.",
    ),
    diagnosis(
        "A41.9",
        (0, 110),
        4,
        7,
        7,
        (30, -22, -4),
        "Sepsis, source under work-up. Fluids, broad-spectrum antibiotics.",
    ),
    diagnosis(
        "K80.20",
        (20, 90),
        5,
        2,
        0,
        (6, 4, 0),
        "Right upper quadrant pain, gallstones on ultrasound. Surgery consulted.",
    ),
    diagnosis(
        "S72.001A",
        (65, 110),
        4,
        6,
        3,
        (10, 4, -1),
        "Fall at home, hip fracture. Operative repair, physical therapy.",
    ),
    diagnosis(
        "F32.9",
        (14, 90),
        5,
        5,
        4,
        (0, 0, 0),
        "Low mood and poor sleep. Sertraline started, safety plan agreed.",
    ),
    diagnosis(
        "J45.909",
        (2, 60),
        6,
        1,
        2,
        (14, 0, -3),
        "Asthma, wheezing resolved after albuterol. Inhaler technique reviewed.",
    ),
    diagnosis(
        "K35.80",
        (5, 60),
        4,
        2,
        1,
        (14, 2, 0),
        "Acute appendicitis, laparoscopic appendectomy without complication.",
    ),
    Diagnosis {
        women_only: true,
        ..diagnosis(
            "O80",
            (17, 45),
            9,
            2,
            0,
            (8, -2, 0),
            "Uncomplicated delivery, mother and baby well. Lactation support given.",
        )
    },
    diagnosis(
        "R07.9",
        (25, 110),
        8,
        1,
        1,
        (6, 6, 0),
        "Chest pain, troponin negative twice. Stress test as outpatient.",
    ),
    diagnosis("B34.9", (0, 110), 6, 1, 0, (10, 0, 0), "Viral infection, supportive care. Return precautions given."),
];
