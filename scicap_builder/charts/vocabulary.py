"""Words of scientific charts: per field its quantities with plausible ranges, what is compared, and what is studied."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something an axis can show."""

    name: str
    unit: str
    low: float
    high: float
    log: bool = False
    """Whether values usually span orders of magnitude."""

    @property
    def label(self) -> str:
        """As an axis prints it."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True, slots=True)
class Field:
    """One scientific field."""

    name: str
    across: tuple[Quantity, ...]
    """Quantities of x-axes."""
    measured: tuple[Quantity, ...]
    """Quantities of y-axes, histograms and bars."""
    series: tuple[tuple[str, ...], ...]
    """Families of things compared in one chart."""
    categories: tuple[tuple[str, ...], ...]
    """Families of things along a bar chart's axis."""
    subjects: tuple[str, ...]
    """What is studied: "of NAME …", as it ends a caption."""


def _quantities(text: str) -> tuple[Quantity, ...]:
    """One quantity a line: name; unit; low; high; log or nothing."""
    rows = [[part.strip() for part in line.split(";")] for line in text.strip().splitlines()]
    return tuple(Quantity(row[0], row[1], float(row[2]), float(row[3]), row[4:] == ["log"]) for row in rows)


def _families(text: str) -> tuple[tuple[str, ...], ...]:
    """One family a line, its members separated by semicolons."""
    return tuple(tuple(part.strip() for part in line.split(";")) for line in text.strip().splitlines())


def words(text: str) -> tuple[str, ...]:
    """Separated by semicolons, over lines."""
    return tuple(part.strip() for part in text.replace("\n", " ").split(";"))


FIELDS = (
    Field(
        "machine learning",
        _quantities("""Epoch; ; 0; 100
            Training steps; k; 0; 500
            Number of training samples; ; 100; 100000; log
            Model size; M parameters; 1; 1000; log
            Learning rate; ; 0.0001; 0.1; log
            Noise level; %; 0; 50
            Sequence length; tokens; 64; 4096
            Number of layers; ; 2; 48"""),
        _quantities("""Test accuracy; %; 40; 99
            Validation loss; ; 0.1; 4
            F1 score; ; 0.3; 0.98
            Perplexity; ; 8; 120
            BLEU score; ; 10; 45
            Inference time; ms; 5; 400
            Mean average precision; ; 0.2; 0.8
            Top-1 error; %; 5; 60
            GPU memory; GB; 2; 60
            Reward; ; -50; 400"""),
        _families("""ResNet-18; ResNet-50; VGG-16; DenseNet; ViT-B
            Baseline; Ours; Ours w/o attention
            LSTM; GRU; Transformer; CNN
            SGD; Adam; RMSProp; AdaGrad
            Random forest; SVM; Logistic regression; k-NN; XGBoost
            Train; Validation; Test
            Supervised; Self-supervised; Semi-supervised"""),
        _families("""CIFAR-10; CIFAR-100; SVHN; ImageNet; MNIST
            English; German; French; Chinese; Arabic; Hindi
            Small; Base; Large; Huge
            Cora; Citeseer; PubMed; Reddit"""),
        words("""image classification; machine translation; node classification on citation graphs; speech recognition;
            the ablation of the attention module; few-shot learning; reinforcement learning in the maze task;
            label noise robustness; knowledge distillation; object detection in aerial images"""),
    ),
    Field(
        "networks",
        _quantities("""Time; s; 0; 600
            Offered load; Mbit/s; 1; 200
            Number of nodes; ; 10; 1000
            SNR; dB; -5; 30
            Packet size; bytes; 64; 1500
            Number of users; ; 1; 200
            Distance; m; 10; 500
            Cache size; MB; 16; 2048; log"""),
        _quantities("""Throughput; Mbit/s; 1; 150
            End-to-end delay; ms; 2; 500
            Packet loss rate; %; 0; 30
            Bit error rate; ; 0.00001; 0.1; log
            Energy consumption; J; 5; 300
            Hit ratio; ; 0.1; 0.95
            Spectral efficiency; bit/s/Hz; 0.5; 9
            CPU load; %; 5; 95
            Average travel time; min; 8; 70"""),
        _families("""TCP Reno; TCP Cubic; BBR
            AODV; DSR; OLSR
            QPSK; 16-QAM; 64-QAM
            LRU; LFU; FIFO; Optimal
            Round robin; Least loaded; Random
            MMSE; Zero forcing; Maximum ratio
            WiFi; LTE; 5G NR"""),
        _families("""Node 1; Node 2; Node 3; Node 4; Node 5
            Urban; Suburban; Rural; Indoor
            HTTP; DNS; Video; VoIP; FTP
            Monday; Tuesday; Wednesday; Thursday; Friday"""),
        words("""mobile ad hoc networks; a congested bottleneck link; massive MIMO uplinks; the edge cache;
            vehicular traffic on the ring road; wireless sensor networks; video streaming sessions;
            a data centre with ten racks; random access in the Internet of Things"""),
    ),
    Field(
        "materials",
        _quantities("""Temperature; K; 10; 900
            Strain; %; 0; 20
            Annealing time; h; 0; 48
            Wavelength; nm; 300; 1100
            Applied voltage; V; 0; 5
            Magnetic field; T; 0; 9
            Dopant concentration; at.%; 0; 15
            Cycle number; ; 1; 500"""),
        _quantities("""Stress; MPa; 20; 900
            Resistivity; mΩ cm; 0.1; 40
            Absorbance; a.u.; 0.05; 1.8
            Current density; mA/cm²; 1; 45
            Specific capacity; mAh/g; 60; 380
            Thermal conductivity; W/(m K); 0.5; 90
            Magnetization; emu/g; 1; 80
            Grain size; nm; 5; 250
            Hardness; GPa; 1; 30
            Band gap; eV; 0.4; 3.6"""),
        _families("""Pristine; Doped; Annealed
            300 K; 77 K; 4.2 K
            Anode; Cathode
            As-cast; Cold-rolled; Quenched; Tempered
            ZnO; TiO2; SnO2; CuO
            Sample A; Sample B; Sample C
            Experiment; Simulation"""),
        _families("""Fe; Ni; Cu; Al; Ti
            Steel; Brass; Titanium; Aluminium
            0 %; 2 %; 5 %; 10 %
            PMMA; PVC; PET; PS"""),
        words("""perovskite thin films; lithium-ion half cells; the austenitic steel; graphene on copper;
            ZnO nanowires; polymer composites; the amorphous alloy; thermoelectric pellets; organic solar cells"""),
    ),
    Field(
        "biology",
        _quantities("""Time; h; 0; 72
            Dose; mg/kg; 0.1; 100; log
            Concentration; µM; 0.01; 100; log
            Age; years; 20; 85
            Day; ; 0; 42
            pH; ; 3; 10
            Passage number; ; 1; 30
            Read depth; ; 5; 200"""),
        _quantities("""Cell viability; %; 5; 100
            Relative expression; ; 0.2; 8
            Tumour volume; mm³; 40; 1800
            Optical density; ; 0.05; 2.2
            Survival probability; ; 0.1; 1
            Body weight; g; 16; 34
            Heart rate; bpm; 55; 160
            Blood glucose; mmol/L; 3.5; 18
            Number of colonies; ; 5; 300
            Fluorescence intensity; a.u.; 50; 4000"""),
        _families("""Control; Treated
            Wild type; Knockout; Rescue
            Placebo; Low dose; High dose
            Male; Female
            HeLa; HEK293; MCF-7
            Vehicle; Drug A; Drug B; Combination
            BRCA1; TP53; MYC; EGFR"""),
        _families("""Liver; Kidney; Heart; Lung; Brain; Spleen
            Week 1; Week 2; Week 4; Week 8
            Ctrl; siRNA 1; siRNA 2
            Bacteria; Archaea; Fungi; Viruses"""),
        words("""tumour growth in mice; the dose response of cultured cells; yeast under osmotic stress;
            patients in the follow-up study; gene expression after induction; the diabetic cohort;
            bacterial growth in minimal medium; zebrafish larvae; wound healing in vitro"""),
    ),
    Field(
        "astronomy and physics",
        _quantities("""Redshift; ; 0; 6
            Energy; keV; 0.5; 100; log
            Radius; kpc; 0.1; 30
            Frequency; GHz; 1; 300
            Time since burst; s; 1; 10000; log
            Beam energy; GeV; 1; 200
            Pressure; GPa; 0; 80
            Angle; deg; 0; 180
            Lattice size; ; 8; 128"""),
        _quantities("""Flux density; mJy; 0.5; 90
            Rotation velocity; km/s; 20; 280
            Luminosity; erg/s; 0.1; 90
            Cross section; pb; 0.2; 60
            Event rate; Hz; 1; 500
            Polarization; %; 0.5; 30
            Magnitude; ; 12; 23
            Density; g/cm³; 0.5; 14
            Correlation length; ; 0.5; 20
            Counts; ; 10; 3000"""),
        _families("""Data; Model; Background
            NGC 628; NGC 3198; M33
            Signal; Background
            B band; V band; R band; I band
            Monte Carlo; Theory; Measurement
            North; South
            LO; NLO; NNLO"""),
        _families("""S0; Sa; Sb; Sc; Irr
            Run 1; Run 2; Run 3; Run 4
            Electron; Muon; Tau
            O; B; A; F; G; K; M"""),
        words("""nearby spiral galaxies; the gamma-ray burst afterglow; jets in proton collisions; the Ising model;
            pulsar timing residuals; the galaxy cluster; neutron scattering on the crystal; cosmic rays; a trapped gas"""),
    ),
    Field(
        "earth and climate",
        _quantities("""Year; ; 1960; 2020
            Depth; m; 0; 3000
            Latitude; deg; -80; 80
            Month; ; 1; 12
            Altitude; km; 0; 30
            Distance from coast; km; 0; 400
            Rainfall; mm; 0; 300"""),
        _quantities("""Temperature anomaly; °C; -0.6; 1.6
            Sea level; mm; -30; 90
            CO2 concentration; ppm; 315; 420
            Salinity; g/kg; 31; 37
            Soil moisture; %; 5; 45
            Wind speed; m/s; 1; 25
            Ice extent; million km²; 3; 16
            Discharge; m³/s; 20; 1500
            Ozone; DU; 220; 400
            Crop yield; t/ha; 1; 9"""),
        _families("""Observed; Simulated
            RCP 2.6; RCP 4.5; RCP 8.5
            Summer; Winter
            Arctic; Antarctic
            Station A; Station B; Station C
            Upstream; Downstream
            ERA5; CMIP6; MERRA-2"""),
        _families("""Jan; Apr; Jul; Oct
            Africa; Asia; Europe; Oceania; America
            Forest; Grassland; Cropland; Wetland
            Spring; Summer; Autumn; Winter"""),
        words("""the North Atlantic; alpine catchments; the boreal forest; global surface stations; the Arctic Ocean;
            irrigated wheat fields; the monsoon season; coastal aquifers; the upper troposphere"""),
    ),
    Field(
        "economics and society",
        _quantities("""Year; ; 1990; 2022
            Quarter; ; 1; 24
            Income; k€; 10; 150
            Age; years; 18; 80
            Years of schooling; ; 4; 20
            Price; $; 1; 100
            Number of respondents; ; 10; 500"""),
        _quantities("""Unemployment rate; %; 2; 15
            GDP growth; %; -4; 8
            Share of households; %; 5; 80
            Inflation; %; -1; 11
            Life expectancy; years; 60; 84
            Gini index; ; 0.22; 0.6
            Exports; bn $; 5; 400
            Trust score; ; 1; 7
            Energy demand; TWh; 50; 600
            House price index; ; 70; 240"""),
        _families("""Urban; Rural
            Men; Women
            Germany; France; Italy; Spain
            Treatment; Control
            High income; Middle income; Low income
            Agriculture; Industry; Services
            Predicted; Actual"""),
        _families("""Primary; Secondary; Tertiary
            18-29; 30-44; 45-59; 60+
            USA; China; India; Brazil; Japan
            Coal; Gas; Nuclear; Wind; Solar"""),
        words("""European labour markets; the household survey; emerging economies; the minimum wage reform;
            public transport use; the housing market; school leavers; electricity generation; the online experiment"""),
    ),
    Field(
        "chemistry and engineering",
        _quantities("""Reaction time; min; 0; 240
            Temperature; °C; 20; 450
            Flow rate; mL/min; 1; 100
            Retention time; min; 0; 30
            Reynolds number; ; 100; 100000; log
            Load; kN; 0; 120
            Engine speed; rpm; 800; 6000
            Frequency; Hz; 1; 10000; log
            Mass ratio; ; 0.1; 5"""),
        _quantities("""Conversion; %; 5; 99
            Yield; %; 10; 96
            Pressure drop; kPa; 1; 90
            Heat transfer coefficient; W/(m² K); 20; 900
            Displacement; mm; 0.2; 30
            Efficiency; %; 20; 95
            Torque; N m; 20; 400
            Concentration; mmol/L; 0.5; 60
            Gain; dB; -40; 30
            Viscosity; mPa s; 1; 120
            Removal rate; %; 10; 98"""),
        _families("""Pd/C; Pt/C; Ru/C
            Uncoated; Coated
            Batch; Continuous
            Experiment; Model
            Water; Ethanol; Toluene
            PID; MPC; LQR
            Diesel; Petrol; Hybrid"""),
        _families("""Run 1; Run 2; Run 3; Run 4; Run 5
            Zeolite; Alumina; Silica
            Beam A; Beam B; Beam C; Beam D
            Methanol; Ethanol; Propanol; Butanol"""),
        words("""the hydrogenation of furfural; a packed bed reactor; the concrete beams; the shell-and-tube heat exchanger;
            dye removal from waste water; the servo drive; biodiesel production; the wind turbine model; CO2 capture"""),
    ),
)
