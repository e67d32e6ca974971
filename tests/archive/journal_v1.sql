BEGIN TRANSACTION;
CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL, message TEXT NOT NULL, time_s REAL, utc TEXT NOT NULL, data TEXT NOT NULL
    );
INSERT INTO "events" VALUES(1,'note','kept',1.0,'2026-11-03T20:00:00.000000+00:00','{"kept":true}');
CREATE TABLE exposures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, also after a restart
        state TEXT NOT NULL CHECK (state IN ('intent', 'committed', 'failed', 'lost')),
        specimen TEXT NOT NULL,
        purpose TEXT NOT NULL,
        tags TEXT NOT NULL,              -- [envs.step.Tag]
        exposure TEXT NOT NULL,          -- instruments.types.Exposure, as intended
        footprint TEXT NOT NULL,         -- instruments.types.Footprint
        intent_utc TEXT NOT NULL,
        frame TEXT,                      -- FrameRecord, as done
        end_utc TEXT,                    -- of commit, failure or loss
        error TEXT,
        step INTEGER REFERENCES steps (seq)
    );
INSERT INTO "exposures" VALUES(1,'committed','a','detail','[{"stream":"policy","inclusion_probability":null}]','{"field_of_view_nm":16.0,"shape":[32,32],"dwell_us":1.0,"frames":1,"interval_s":0.0,"rotation_deg":0.0,"signals":null,"id":null}','{"x_nm":1.0,"y_nm":2.0,"width_nm":16.0,"height_nm":16.0,"rotation_deg":0.0}','2026-11-03T20:00:00.000000+00:00','{"exposure":{"field_of_view_nm":16.0,"shape":[32,32],"dwell_us":1.0,"frames":1,"interval_s":0.0,"rotation_deg":0.0,"signals":null,"id":null},"stage":{"x_nm":1.0,"y_nm":2.0,"z_nm":null,"alpha_deg":null,"beta_deg":null},"optics":{"defocus_nm":-20.0,"stig_a_nm":null,"stig_b_nm":null,"current_pA":null,"convergence_mrad":null,"voltage_kV":null},"start_s":1.0,"end_s":1.5,"electrons":100000.0,"holder":{"temperature_K":{"value":293.0,"unit":"K","age_s":0.1,"valid":true}}}','2026-11-03T20:00:00.000000+00:00',NULL,1);
INSERT INTO "exposures" VALUES(2,'lost','a','detail','[{"stream":"policy","inclusion_probability":null}]','{"field_of_view_nm":16.0,"shape":[32,32],"dwell_us":1.0,"frames":1,"interval_s":0.0,"rotation_deg":0.0,"signals":null,"id":null}','{"x_nm":1.0,"y_nm":2.0,"width_nm":16.0,"height_nm":16.0,"rotation_deg":0.0}','2026-11-03T20:00:00.000000+00:00',NULL,'2026-11-03T20:00:00.000000+00:00','camera blank',NULL);
CREATE TABLE flags (rank INTEGER PRIMARY KEY, data TEXT NOT NULL);
INSERT INTO "flags" VALUES(1,'{"exposure":1,"score":3.5}');
CREATE TABLE frames (
        exposure INTEGER NOT NULL REFERENCES exposures (id),
        signal TEXT NOT NULL,
        stream TEXT NOT NULL,            -- frames/<stream>.zarr
        first INTEGER NOT NULL,          -- index along the stream's first axis
        count INTEGER NOT NULL,          -- 1, or the frames of a burst
        shape TEXT NOT NULL,             -- of the signal's array
        sha256 TEXT NOT NULL,            -- of its bytes, C order, little endian
        axes TEXT NOT NULL,              -- [instruments.types.Axis]
        unit TEXT NOT NULL,
        calibration TEXT NOT NULL,
        minimum REAL, maximum REAL, mean REAL,
        PRIMARY KEY (exposure, signal)
    );
INSERT INTO "frames" VALUES(1,'BF','BF_32x32_uint16_0.5nm_7fe676',0,1,'[32,32]','24c64315cde3e36fe3b6e6b2c1d336c8d9c7564359cb417bb5e0e2f6c384c7a1','[{"name":"row","scale":0.5,"unit":"nm","offset":0.0},{"name":"column","scale":0.5,"unit":"nm","offset":0.0}]','counts','{}',14.0,48.0,30.1953125);
INSERT INTO "frames" VALUES(1,'HAADF','HAADF_32x32_uint16_0.5nm_d13561',0,1,'[32,32]','dd4ef11243d0a9eeede76491156a8c5d894bc722976e520a3d2a1220feeaca0a','[{"name":"row","scale":0.5,"unit":"nm","offset":0.0},{"name":"column","scale":0.5,"unit":"nm","offset":0.0}]','counts','{}',15.0,55.0,29.939453125);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('opened_utc','2026-11-03T20:00:00.000000+00:00');
CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL, data TEXT NOT NULL, person TEXT NOT NULL, created_utc TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'new', reply TEXT, answered_utc TEXT
    );
INSERT INTO "requests" VALUES(1,'pause','{}','Ada','2026-11-03T20:00:00.000000+00:00','new',NULL,NULL);
CREATE TABLE steps (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        specimen TEXT NOT NULL,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        start_s REAL,
        end_s REAL,
        utc TEXT NOT NULL,
        data TEXT NOT NULL,              -- envs.step.Step
        UNIQUE (specimen, number)
    );
INSERT INTO "steps" VALUES(1,'a',0,'look',0.0,1.0,'2026-11-03T20:00:00.000000+00:00','{"number":0,"specimen":"a","kind":"look","decision":{"action":3,"candidates":[],"decided_by":"agent","policy":"","person":null,"reason":"why not"},"target":3,"look":"detail","skill":null,"stage":null,"optics":null,"exposures":[{"exposure":{"field_of_view_nm":16.0,"shape":[32,32],"dwell_us":1.0,"frames":1,"interval_s":0.0,"rotation_deg":0.0,"signals":null,"id":1},"purpose":"detail","tags":[{"stream":"policy","inclusion_probability":null}],"footprint":{"x_nm":1.0,"y_nm":2.0,"width_nm":16.0,"height_nm":16.0,"rotation_deg":0.0},"stage":{"x_nm":1.0,"y_nm":2.0,"z_nm":null,"alpha_deg":null,"beta_deg":null},"optics":{"defocus_nm":null,"stig_a_nm":null,"stig_b_nm":null,"current_pA":null,"convergence_mrad":null,"voltage_kV":null},"start_s":0.0,"end_s":0.5,"electrons":100000.0,"committed":true,"error":null}],"retagged":[],"score":{"cells":[0,1],"descriptors":[[0.1257302210933933,-0.1321048632913019,0.6404226504432821,0.10490011715303971,-0.535669373161111,0.36159505490948474,1.3040000451301372,0.9470809631292422],[-0.7037352358069926,-1.2654214710460525,-0.6232744625373522,0.0413259793472436,-2.3250307746388343,-0.21879166393254573,-1.2459109472530652,-0.7322673547034516]],"interest":[-0.5442589828573099,-0.31630015636915454],"quality":{"snr":NaN}},"fault":null,"start_s":0.0,"end_s":1.0,"electrons":0.0,"reward":0.0,"terminated":false,"truncated":false,"skill_data":null}');
INSERT INTO "steps" VALUES(2,'a',1,'look',1.0,2.0,'2026-11-03T20:00:00.000000+00:00','{"number":1,"specimen":"a","kind":"look","decision":{"action":3,"candidates":[],"decided_by":"agent","policy":"","person":null,"reason":"why not"},"target":3,"look":"detail","skill":null,"stage":null,"optics":null,"exposures":[],"retagged":[],"score":{"cells":[0,1],"descriptors":[[0.345584192064786,0.8216181435011584,0.33043707618338714,-1.303157231604361,0.9053558666731177,0.4463745723640113,-0.5369532353602852,0.5811181041963531],[0.36457239618607573,0.294132496655526,0.02842224131579679,0.5467129866124469,-0.7364540870016669,-0.16290994799305278,-0.48211931267997826,0.5988462126346276]],"interest":[0.03972210748165899,-0.2924567509650886],"quality":{"snr":NaN}},"fault":null,"start_s":1.0,"end_s":2.0,"electrons":0.0,"reward":0.0,"terminated":false,"truncated":false,"skill_data":null}');
CREATE INDEX exposures_by_state ON exposures (state);
CREATE INDEX exposures_by_step ON exposures (step);
CREATE INDEX frames_by_stream ON frames (stream, first);
CREATE INDEX requests_by_state ON requests (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('exposures',2);
INSERT INTO "sqlite_sequence" VALUES('steps',2);
INSERT INTO "sqlite_sequence" VALUES('events',1);
INSERT INTO "sqlite_sequence" VALUES('requests',1);
COMMIT;
PRAGMA user_version = 1;
