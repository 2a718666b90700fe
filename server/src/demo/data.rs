//! Synthetic patients, stays and vitals, made from nothing but a number.
//!
//! Each patient is computed from its id alone, so that tables can be made in any order and in parts. Invariant: the
//! same number of patients gives the same rows on every machine, and N patients have 4N encounters and 40N vitals.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta};

use super::words::{DIAGNOSES, Diagnosis, FAMILY, FEMALE, HOSPITALS, MALE, SPARSE_ZIPS};

/// Encounters for each patient, on average.
pub const ENCOUNTERS_PER_PATIENT: u64 = 4;
/// Vitals for each patient.
pub const VITALS_PER_PATIENT: u64 = 40;

/// How encounters are spread over ten patients: most have few, a few have many.
const SPREAD: [u64; 10] = [1, 1, 2, 2, 3, 3, 4, 5, 7, 12];
/// The days that stays lie in.
const WINDOW_DAYS: i64 = 730;
const MINUTES_PER_DAY: i64 = 24 * 60;
/// A stay that does not count as a readmission begins this many days or more after the last.
const APART_DAYS: i64 = 32;

/// `SplitMix64`: small, quick, and the same for ever, which no library's default generator promises.
struct Dice(u64);

impl Dice {
    fn new(purpose: u64, id: u64) -> Self {
        let mut dice = Self(purpose.wrapping_mul(0xA076_1D64_78BD_642F) ^ id.wrapping_mul(0xE703_7ED1_A0B4_28DB));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is small.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.below(span)).unwrap_or(0)
    }

    /// Roughly normal around 0, never beyond `spread`.
    fn around_zero(&mut self, spread: i64) -> i64 {
        (self.between(-spread, spread) + self.between(-spread, spread) + self.between(-spread, spread)) / 3
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(index).copied()
    }
}

/// The hospital of a patient, from 1 to 10.
pub fn hospital_of(patient_id: u64) -> i32 {
    let mut share = Dice::new(1, patient_id).below(100);
    for (number, hospital) in (1..).zip(&HOSPITALS) {
        if share < hospital.4 {
            return number;
        }
        share -= hospital.4;
    }
    1
}

/// One row of `patients`.
pub struct Patient {
    /// From 1.
    pub id: u64,
    /// From 1 to 10.
    pub hospital_id: i32,
    /// Given and family name.
    pub name: String,
    /// `F`, `M` or `X`.
    pub gender: &'static str,
    /// `9dd-dd-dddd`: never issued.
    pub ssn: String,
    /// Day of birth.
    pub birth_date: NaiveDate,
    /// Five digits.
    pub zip: String,
    /// Years on 1 January 2026.
    pub age: i32,
    /// At example.org.
    pub email: String,
    /// With area code 555.
    pub phone: String,
}

impl Patient {
    /// The patient with this id.
    pub fn make(id: u64) -> Self {
        let mut dice = Dice::new(2, id);
        let hospital_id = hospital_of(id);
        let gender = match dice.below(100) {
            0 => "X",
            n if n < 52 => "F",
            _ => "M",
        };
        let given =
            if gender == "M" || (gender == "X" && dice.percent(50)) { dice.pick(&MALE) } else { dice.pick(&FEMALE) };
        let (given, family) = (given.unwrap_or("Alex"), dice.pick(&FAMILY).unwrap_or("Lee"));
        let birth_date = birth_date(&mut dice);
        let email = format!("{}.{}{id}@example.org", given.to_lowercase(), family.to_lowercase());
        let phone = format!("555-{:03}-{:04}", dice.below(1000), dice.below(10_000));
        let zip = zip(&mut dice, hospital_id);
        let name = format!("{given} {family}");
        Self { id, hospital_id, name, gender, ssn: ssn(id), birth_date, zip, age: age(birth_date), email, phone }
    }
}

fn reference_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default()
}

/// Hospital patients are older than the population.
fn birth_date(dice: &mut Dice) -> NaiveDate {
    let years = match dice.below(100) {
        0..12 => dice.between(0, 17),
        12..45 => dice.between(18, 49),
        45..92 => dice.between(50, 84),
        _ => dice.between(85, 104),
    };
    let days = u64::try_from(years * 365 + years / 4 + dice.between(1, 365)).unwrap_or(0);
    reference_day().checked_sub_days(Days::new(days)).unwrap_or_default()
}

fn age(birth_date: NaiveDate) -> i32 {
    let today = reference_day();
    let before_birthday = (today.month(), today.day()) < (birth_date.month(), birth_date.day());
    today.year() - birth_date.year() - i32::from(before_birthday)
}

/// Unique for the first 49 million patients; areas 900–999 are never issued, groups up to 49 no tax numbers either.
fn ssn(id: u64) -> String {
    let n = id.wrapping_mul(38_196_601) % 49_000_000;
    let (area, group, serial) = (900 + n % 100, 1 + (n / 100) % 49, n / 4900);
    format!("{area}-{group:02}-{serial:04}")
}

fn zip(dice: &mut Dice, hospital_id: i32) -> String {
    let near = usize::try_from(hospital_id - 1).ok().and_then(|index| HOSPITALS.get(index)).map_or("972", |h| h.3);
    let prefix = if dice.percent(2) { dice.pick(&SPARSE_ZIPS).unwrap_or(near) } else { near };
    format!("{prefix}{:02}", dice.below(100))
}

/// One row of `encounters`.
pub struct Encounter {
    /// From 1 to 4N.
    pub id: u64,
    /// Whose.
    pub patient_id: u64,
    /// Where.
    pub hospital_id: i32,
    /// Begin.
    pub admitted_at: NaiveDateTime,
    /// End.
    pub discharged_at: NaiveDateTime,
    /// What for.
    pub diagnosis: &'static Diagnosis,
}

impl Encounter {
    /// The clinical note. Like real ones it names the patient now and then.
    pub fn note(&self, patient: &Patient) -> String {
        let text = self.diagnosis.note;
        match Dice::new(3, self.id).below(10) {
            0 => format!("{} (phone {}): {text}", patient.name, patient.phone),
            1..4 => format!("{} y/o {}. {text}", patient.age, patient.gender),
            4 => format!("Pt {} seen with family. {text}", patient.name),
            _ => text.to_owned(),
        }
    }
}

/// The patient's encounters in order of time, where `patients` is how many patients there are.
pub fn encounters(patient: &Patient, patients: u64) -> Vec<Encounter> {
    let (first_id, count) = encounter_ids(patient.id, patients);
    let mut dice = Dice::new(4, patient.id);
    let diagnoses: Vec<_> = (0..count).map(|_| diagnose(&mut dice, patient)).collect();
    let stays: Vec<i64> =
        diagnoses.iter().map(|d| dice.between(1, 1 + 2 * i64::try_from(d.days).unwrap_or(1))).collect();
    let gaps = gaps(&mut dice, patient.hospital_id, &diagnoses);
    let busy: i64 = stays.iter().sum::<i64>() + gaps.iter().sum::<i64>();
    let slack = slack(&mut dice, (WINDOW_DAYS - busy).max(0), count);

    let start = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap_or_default().and_time(chrono::NaiveTime::MIN);
    let mut day = 0;
    let mut made = Vec::with_capacity(diagnoses.len());
    for (index, diagnosis) in diagnoses.into_iter().enumerate() {
        let at = |values: &[i64]| values.get(index).copied().unwrap_or(0);
        // The slack before a readmission is nothing: gaps of 30 days and less stay what they are.
        day += if at(&gaps) >= APART_DAYS || index == 0 { at(&gaps) + at(&slack) } else { at(&gaps) };
        let admitted_at = start + TimeDelta::minutes(day * MINUTES_PER_DAY + dice.between(0, MINUTES_PER_DAY - 1));
        let discharged_at = admitted_at + TimeDelta::minutes(at(&stays) * MINUTES_PER_DAY - dice.between(0, 600));
        day += at(&stays);
        let id = first_id + index as u64;
        made.push(Encounter {
            id,
            patient_id: patient.id,
            hospital_id: patient.hospital_id,
            admitted_at,
            discharged_at,
            diagnosis,
        });
    }
    made
}

/// The first encounter's id and how many the patient has: ten patients share forty.
fn encounter_ids(patient_id: u64, patients: u64) -> (u64, u64) {
    let (block, place) = ((patient_id - 1) / 10, (patient_id - 1) % 10);
    let first = block * 10 * ENCOUNTERS_PER_PATIENT + 1;
    if (block + 1) * 10 > patients {
        return (first + place * ENCOUNTERS_PER_PATIENT, ENCOUNTERS_PER_PATIENT);
    }
    let turn = Dice::new(5, block).below(10);
    let count_at =
        |place: u64| usize::try_from((place + turn) % 10).ok().and_then(|i| SPREAD.get(i)).copied().unwrap_or(0);
    (first + (0..place).map(count_at).sum::<u64>(), count_at(place))
}

fn diagnose(dice: &mut Dice, patient: &Patient) -> &'static Diagnosis {
    let age = i64::from(patient.age);
    let fits = |d: &&Diagnosis| (d.ages.0..=d.ages.1).contains(&age) && (!d.women_only || patient.gender == "F");
    let total = DIAGNOSES.iter().filter(fits).map(|d| d.weight).sum();
    let mut draw = dice.below(total);
    for diagnosis in DIAGNOSES.iter().filter(fits) {
        if draw < diagnosis.weight {
            return diagnosis;
        }
        draw -= diagnosis.weight;
    }
    &DIAGNOSES[15]
}

/// Days before each stay: up to 29 for a readmission, else 32.
fn gaps(dice: &mut Dice, hospital_id: i32, diagnoses: &[&Diagnosis]) -> Vec<i64> {
    let base = usize::try_from(hospital_id - 1).ok().and_then(|index| HOSPITALS.get(index)).map_or(12, |h| h.5);
    let after = diagnoses.iter().map(|d| if dice.percent(base + d.returns) { dice.between(2, 28) } else { APART_DAYS });
    std::iter::once(0).chain(after).take(diagnoses.len()).collect()
}

/// Spreads `days` by chance over the time before each stay and after the last.
fn slack(dice: &mut Dice, days: i64, stays: u64) -> Vec<i64> {
    let weights: Vec<i64> = (0..=stays).map(|_| dice.between(1, 100)).collect();
    let total: i64 = weights.iter().sum();
    weights.iter().map(|weight| days * weight / total.max(1)).collect()
}

/// One row of `vitals`.
pub struct Vital {
    /// Whose.
    pub patient_id: u64,
    /// Where.
    pub hospital_id: i32,
    /// Beats a minute.
    pub heart_rate: i32,
    /// Systolic, mmHg.
    pub blood_pressure: i32,
    /// Percent.
    pub oxygen_saturation: i32,
    /// When, during a stay.
    pub ts: NaiveDateTime,
}

/// The patient's vitals, taken during its stays.
pub fn vitals<'a>(patient: &'a Patient, encounters: &'a [Encounter]) -> impl Iterator<Item = Vital> + 'a {
    let mut dice = Dice::new(6, patient.id);
    let own = (dice.between(58, 84), 104 + i64::from(patient.age) / 3 + dice.around_zero(14), dice.between(95, 99));
    encounters.iter().cycle().take(usize::try_from(VITALS_PER_PATIENT).unwrap_or(0)).map(move |stay| {
        let minutes = (stay.discharged_at - stay.admitted_at).num_minutes();
        let shift = stay.diagnosis.shift;
        let reading = |base: i64, low: i64, high: i64| i32::try_from(base.clamp(low, high)).unwrap_or(0);
        Vital {
            patient_id: patient.id,
            hospital_id: patient.hospital_id,
            heart_rate: reading(own.0 + shift.0 + dice.around_zero(24), 36, 190),
            blood_pressure: reading(own.1 + shift.1 + dice.around_zero(30), 70, 220),
            oxygen_saturation: reading(own.2 + shift.2 + dice.around_zero(4), 70, 100),
            ts: stay.admitted_at + TimeDelta::seconds(dice.between(0, minutes * 60)),
        }
    })
}

/// The clinicians who look after a patient, as login names.
pub fn care_team(patient_id: u64, hospital_id: i32) -> Vec<String> {
    let mut dice = Dice::new(7, patient_id);
    let (first, more) = (dice.below(20), dice.percent(60).then(|| dice.below(20)));
    let mut team = vec![first];
    team.extend(more.filter(|second| *second != first));
    team.into_iter().map(|n| clinician(hospital_id, n)).collect()
}

/// Twenty clinicians work in each hospital; no two share a name.
fn clinician(hospital_id: i32, number: u64) -> String {
    let index = (u64::try_from(hospital_id).unwrap_or(0) * 7 + number * 3) % FAMILY.len() as u64;
    let family = usize::try_from(index).ok().and_then(|i| FAMILY.get(i)).copied().unwrap_or("lee");
    format!("dr_{}_{hospital_id}", family.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn n_patients_have_4n_encounters_with_ids_from_1_on_and_40n_vitals() {
        for patients in [1, 10, 37, 1000] {
            let mut ids = HashSet::new();
            let mut readings = 0;
            for patient in (1..=patients).map(Patient::make) {
                let stays = encounters(&patient, patients);
                readings += vitals(&patient, &stays).count() as u64;
                ids.extend(stays.iter().map(|stay| stay.id));
            }
            assert_eq!(ids, (1..=4 * patients).collect(), "{patients}");
            assert_eq!(readings, 40 * patients);
        }
    }

    #[test]
    fn stays_do_not_overlap_and_vitals_lie_within_one() {
        for patient in (1..=500).map(Patient::make) {
            let stays = encounters(&patient, 500);
            assert!(stays.iter().all(|stay| stay.admitted_at < stay.discharged_at));
            assert!(stays.windows(2).all(|pair| pair[0].discharged_at < pair[1].admitted_at), "patient {}", patient.id);
            for vital in vitals(&patient, &stays) {
                assert!(stays.iter().any(|stay| (stay.admitted_at..=stay.discharged_at).contains(&vital.ts)));
            }
        }
    }

    #[test]
    fn every_hospital_sees_patients_come_back_within_30_days_at_a_plausible_rate() {
        let mut seen = [(0u32, 0u32); 11];
        for patient in (1..=10_000).map(Patient::make) {
            let stays = encounters(&patient, 10_000);
            let counts = &mut seen[usize::try_from(patient.hospital_id).unwrap()];
            for pair in stays.windows(2) {
                counts.0 += 1;
                counts.1 += u32::from((pair[1].admitted_at - pair[0].discharged_at).num_days() < 30);
            }
        }
        for (hospital, (pairs, returns)) in seen.iter().enumerate().skip(1) {
            let rate = f64::from(*returns) / f64::from(*pairs);
            assert!((0.08..0.30).contains(&rate), "hospital {hospital}: {rate}");
        }
    }

    #[test]
    fn identifiers_are_unique_and_cannot_be_real() {
        let mut seen = HashSet::new();
        for patient in (1..=20_000).map(Patient::make) {
            assert!(patient.ssn.starts_with('9') && patient.ssn.len() == 11, "{}", patient.ssn);
            assert!(patient.email.ends_with("@example.org") && patient.phone.starts_with("555-"));
            assert!((0..=105).contains(&patient.age) && patient.zip.len() == 5);
            assert!(seen.insert(patient.ssn) && seen.insert(patient.email));
        }
    }

    #[test]
    fn the_first_patient_never_changes() {
        let patient = Patient::make(1);
        let stays = encounters(&patient, 50_000);
        let row = format!("{} {} {} {} {}", patient.name, patient.ssn, patient.birth_date, patient.zip, stays.len());
        assert_eq!(row, "George Bailey 901-12-7795 1984-05-21 60649 3");
    }
}
