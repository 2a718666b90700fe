//! The lists of the lexicon: those of files, and the short ones that the rules speak of.
//!
//! Invariant: words are in lower case, without accents, and parted by white space.

use super::lexicon::kind;

/// Cities, one a line.
pub(crate) const CITIES: &str = include_str!("../../lexicon/cities.txt");

/// What the words of each list may be.
pub(crate) const LISTS: &[(&str, u32)] = &[
    (include_str!("../../lexicon/first-names-common.txt"), kind::FIRST_COMMON | kind::FIRST),
    (include_str!("../../lexicon/first-names.txt"), kind::FIRST),
    (include_str!("../../lexicon/last-names-common.txt"), kind::LAST_COMMON | kind::LAST),
    (include_str!("../../lexicon/last-names.txt"), kind::LAST),
    (include_str!("../../lexicon/words-common.txt"), kind::WORD),
    (include_str!("../../lexicon/words-rare.txt"), kind::RARE_WORD),
    (include_str!("../../lexicon/clinical.txt"), kind::CLINICAL),
    (include_str!("../../lexicon/eponyms.txt"), kind::EPONYM),
    (TITLES, kind::TITLE),
    (ROLES, kind::ROLE),
    (CREDENTIALS, kind::CREDENTIAL),
    (STREETS, kind::STREET),
    (MONTHS, kind::MONTH),
    (STATES, kind::STATE),
    (FACILITIES, kind::FACILITY),
    (GENERIC, kind::GENERIC),
    (NATIONS, kind::GENERIC | kind::RARE_WORD),
    (LABELS, kind::LABEL),
    (GRAMMAR, kind::GRAMMAR | kind::WORD),
    (WHERE, kind::WHERE),
    (PARTICLES, kind::PARTICLE),
    (NUMERALS, kind::NUMERAL | kind::WORD),
    (DOMAINS, kind::DOMAIN),
    (DOES, kind::DOES),
];

const TITLES: &str = "dr drs mr mrs ms miss mx prof professor doctor rev reverend sister brother sr sra srta father rabbi \
                      pastor chaplain judge officer detective sgt capt lt col attorney atty md. messrs mme";

const ROLES: &str = "patient pt pts daughter son daughters sons brothers sisters children kids parents wife husband mother father mom mum dad sister brother aunt uncle niece nephew \
    cousin grandmother grandfather grandma grandpa granddaughter grandson spouse partner fiance fiancee boyfriend girlfriend \
    friend neighbor neighbour roommate caregiver caretaker guardian parent stepmother stepfather stepson stepdaughter \
    twin sibling proxy hcp poa attending resident intern fellow surgeon physician provider nurse hospitalist intensivist \
    cardiologist neurologist oncologist radiologist pathologist psychiatrist pediatrician dermatologist urologist \
    nephrologist pulmonologist gastroenterologist endocrinologist anesthesiologist therapist pharmacist dietitian \
    interpreter consultant pcp anesthetist midwife paramedic technician tech aide cna rn lpn np pa aprn crna \
    social worker manager coordinator counselor psychologist dentist optometrist podiatrist hematologist rheumatologist \
    obstetrician gynecologist ophthalmologist orthopedist orthopaedist internist landlord boss coworker";

const CREDENTIALS: &str = "md do rn lpn np pa phd pharmd dds dmd dpm od psyd lcsw msw rd rdn pt dpt ot otr slp crna cnm cna aprn \
    fnp dnp bsn msn ma rt rrt emt facs facp mph mbbs frcp lvn acnp cns arnp pac dnp agnp pmhnp rph esq jd lmft lpc ccc mba ms bs";

const STREETS: &str = "street st avenue ave av road rd boulevard blvd drive dr lane ln court ct way place pl parkway pkwy \
    highway hwy terrace ter terr circle cir square sq trail trl turnpike tpke alley plaza loop run row crossing xing pike \
    path walk crescent cres close mews grove heights ridge broadway expressway expy route rte";

pub(crate) const MONTHS: &str = "january jan february feb march mar april apr may june jun july jul august aug september sept sep \
    october oct november nov december dec";

const STATES: &str = "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok \
    or pa ri sc sd tn tx ut vt va wa wv wi wy dc pr alabama alaska arizona arkansas california colorado connecticut delaware \
    florida georgia hawaii idaho illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan \
    minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon pennsylvania tennessee texas utah vermont \
    virginia washington wisconsin wyoming";

const FACILITIES: &str = "hospital hospitals clinic clinics center centre infirmary hospice healthcare rehabilitation rehab \
    sanatorium university college school academy institute pharmacy laboratories laboratory diagnostics labcorp walgreens \
    cvs foundation medicine manor nursing church elementary bank insurance physicians associates \
    care inc llc corporation corp company permanente system health memorial general shelter penitentiary prison";

const GENERIC: &str = "hospital clinic center centre medical health care community general regional nursing home primary urgent \
    emergency department dept surgery surgical cancer rehabilitation rehab hospice county city state outpatient inpatient \
    pain wound heart vascular womens women men mens children childrens pediatric pediatrics psychiatric mental behavioral \
    university academic teaching local outside tertiary the and of at dialysis imaging trauma acute long term skilled \
    facility system healthcare services service group associates physicians institute school high middle elementary \
    public private day night walk in eye ear dental sleep burn stroke birth birthing breast spine sports family medicine \
    internal anticoagulation coumadin diabetes transplant infusion call critical poison control follow up general \
    infirmary pharmacy laboratory diagnostics college academy church bank insurance company our this that an discharge \
    education north south east west northern southern eastern western new st travel";

const NATIONS: &str = "mexico china india spain france germany italy ireland england scotland wales russia poland ukraine greece turkey \
    israel iran iraq syria lebanon egypt nigeria ghana kenya ethiopia somalia sudan haiti cuba jamaica dominican puerto rico \
    guatemala honduras salvador nicaragua colombia venezuela ecuador peru chile brazil argentina portugal japan korea \
    vietnam cambodia laos thailand philippines nepal pakistan bangladesh afghanistan canada australia america usa africa asia \
    europe american african asian european mexican chinese indian spanish french german italian irish english scottish russian \
    polish ukrainian greek turkish arabic hebrew persian farsi haitian cuban jamaican brazilian portuguese japanese korean \
    vietnamese cambodian thai tagalog filipino nepali urdu bengali hindi punjabi mandarin cantonese creole somali swahili \
    hispanic latino latina caucasian jewish christian catholic muslim islam buddhist hindu protestant baptist mormon jehovah \
    medicare medicaid christmas thanksgiving easter halloween ramadan hanukkah";

const LABELS: &str = "mrn mr mrno emrn medrec record records rec chart unit ssn ss social security sec soc phone phones tel telephone \
    cell cellphone mobile call called calls calling callback contact contacts contacted reachable ph pager paged page beeper ext extension x dial text texted \
    voicemail home work office reached fax faxed facsimile npi dea mbi medicare hicn beneficiary medicaid member subscriber \
    policy insurance plan group grp payer payor bcbs aetna cigna humana anthem tricare account acct acc encounter visit \
    csn har fin invoice accession case claim order requisition req confirmation ref reference badge employee ticket bank checking \
    savings routing aba rtn transit license licence lic plate dl oln passport itin taxpayer vin tag registration vehicle \
    serial sn s udi imei mac device implant id identifier ident iban zip zipcode postal dob born birth birthdate date dated doa dod dos \
    admitted admission discharged discharge name names named number no num account patient pt prescription rx certificate cert \
    hospital guarantor study specimen hic visa mastercard amex card credit debit discover signed dictated transcribed cc \
    attn re from to by author attending physician provider surgeon resident pcp referring consultant nurse kin spouse \
    mother father insured reviewed cosigned verified performed interpreted requesting ordering emergency responsible \
    caregiver proxy interpreter witness read electronically authenticated performing technologist sonographer assistant \
    anesthesiologist radiologist employer occupation address residence alias aka dear sincerely regards seen";

const GRAMMAR: &str = "the a an and or but if of in on at to for from with without by as is are was were be been being has have had do does did \
    not no nor so than then that this these those there here he she it they we you i his her hers him them their its our your my me us who whom \
    which what when where why how all any both each few more most other some such only own same too very can could should would \
    shall might must also into onto over under again further once during before after above below between through until while \
    about against per via upon within along across since because although however therefore please thank thanks today \
    tomorrow yesterday tonight now never always often sometimes daily weekly monthly yes ok okay currently recently \
    reports reported states stated denies denied presents presented complains admitted discharged seen evaluated examined \
    noted notes notified informed aware agrees agreed called spoke discussed reviewed signed dictated electronically name address \
    phone fax email date time dob mrn ssn age sex gender race unknown none na monday tuesday wednesday thursday friday \
    saturday sunday mon tue tues wed thu thur thurs fri";

const WHERE: &str = "in from at near to of outside around visiting";

const PARTICLES: &str =
    "van von de del della der den di da dos das du la le el al bin ibn ben st mac mc o d ter ten abu y e";

pub(crate) const NUMERALS: &str = "ninety hundred one two three four five six seven eight nine ten";

const DOMAINS: &str = "com org net edu gov io us uk ca de fr health info mil co biz me app dev int eu au";

const DOES: &str = "reports reported states stated denies denied presents presented complains was is has had will would can who \
    says said told asked called came went lives works feels felt reported received underwent tolerated ambulated seems appears \
    remains continues slept ate refused requested agreed verbalized expressed and notified aware paged spoke saw saw reviewed \
    performed recommended recommends advised evaluated examined consulted placed removed ordered signed dictated wants needs \
    took takes does did may should tells calls brought accompanied arrived left returned became";
