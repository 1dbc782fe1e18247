"""The catalogue in Italian, keyed by the name of its row in faults.py: message, description, cause, solution.

Written for the person who wears the arm. A test finds rows that are missing here or no longer there.
"""

from __future__ import annotations

from controller.spec.faults import Texts

_RESET_OR_TECHNICIAN = "Azzerare l'errore. Se si ripete, chiamare un tecnico."
_STOPPED_QUICKLY = "Tutti gli assi sono stati fermati rapidamente."
_POWER_OFF = "L'alimentazione dei motori è stata tolta."
_POWER_OFF_AT_ONCE = "L'alimentazione dei motori è stata tolta subito."
_SOFTWARE = "Un errore interno del software del controllore."
_DRIVE_SOFTWARE = "Un errore interno del software del motore."
_PUSHED_OR_SENSOR = "Il braccio è stato spinto in quella posizione, oppure il sensore di posizione è guasto."
_BACK_BY_HAND = "Riportare a mano l'asse nel suo campo di movimento, poi azzerare l'errore."
_OVERLOADED = "Il computer è sovraccarico o non è configurato per il tempo reale."

ERRORS: dict[str, Texts] = {
    # back-end
    "BUS_LOST": (
        "Comunicazione con il braccio interrotta",
        "La scheda di base non ha risposto in tempo. I motori sono stati fermati e la loro alimentazione è stata "
        "tolta.",
        "Un cavo seriale è allentato, la scheda di base non è alimentata o la linea è disturbata.",
        "Controllare il cavo e l'alimentazione del braccio. Il collegamento riprende da solo; poi azzerare l'errore "
        "e avviare di nuovo."),
    "LOG_READ": (
        "La cartella dei registri non si può leggere",
        "Lo storico e i file di registro non si possono mostrare. Il braccio continua a funzionare.",
        "La memoria è piena o danneggiata, oppure i diritti di accesso sono errati.",
        "Riavviare il controllore; se il problema resta, far controllare da un tecnico la cartella dei dati "
        "(store.path)."),
    "LOG_DELETE": (
        "I file di registro non si possono cancellare",
        "I vecchi registri restano in memoria. Il braccio continua a funzionare.",
        "La memoria è di sola lettura o i diritti di accesso sono errati.",
        "Far controllare da un tecnico i diritti di accesso della cartella dei dati (store.path)."),
    "ADDRESS_UNKNOWN": (
        "Indirizzo di rete sconosciuto",
        "Il controllore non ha un indirizzo di rete da mostrare. Il braccio continua a funzionare.",
        "Nessun cavo di rete e nessuna rete Wi-Fi è collegata.",
        "Collegare il controllore a una rete, se serve."),
    "ADDRESS_FAILED": (
        "L'indirizzo di rete non si può leggere",
        "Il sistema operativo non ha fornito l'indirizzo di rete. Il braccio continua a funzionare.",
        "Il servizio di rete non è attivo.",
        "Riavviare il controllore; se il problema resta, chiamare un tecnico."),
    "REGISTER_WRITE": (
        "Il valore non è stato salvato",
        "Un'impostazione è in vigore ma non è salvata; dopo un riavvio tornerebbe il valore precedente. Il "
        "salvataggio viene ritentato.",
        "La memoria è piena o danneggiata, oppure i diritti di accesso sono errati.",
        "Attendere un momento; se il problema resta, far controllare da un tecnico la cartella dei dati (store.path)."),
    "FILE_UNOPENED": (
        "In questa sessione i valori non vengono salvati",
        "Il file delle impostazioni non si è potuto aprire all'avvio. Le impostazioni sono in vigore ma non sono "
        "salvate, e il salvataggio non viene ritentato; dopo un riavvio tornerebbero i valori precedenti.",
        "La memoria non ha risposto, i diritti di accesso sono errati, oppure un altro controllore usa il file.",
        "Far controllare da un tecnico la cartella dei dati (store.path), poi riavviare il controllore."),
    "REGISTER_SEND": (
        "Il valore non è stato inviato al braccio",
        "Un'impostazione non è ancora arrivata al braccio; fino ad allora vale il valore precedente. L'invio viene "
        "ritentato.",
        "Il braccio non è collegato o è occupato.",
        "Controllare il collegamento con il braccio; se il problema resta, chiamare un tecnico."),
    "SHUTDOWN_FAILED": (
        "Spegnimento non riuscito",
        "Non è stato possibile spegnere il controllore dalla pagina.",
        "Il sistema operativo ha rifiutato lo spegnimento.",
        "Togliere prima il braccio, poi spegnerlo con l'interruttore generale; avvisare un tecnico."),
    "RESTART_FAILED": (
        "Riavvio non riuscito",
        "Non è stato possibile riavviare il controllore dalla pagina.",
        "Il sistema operativo ha rifiutato il riavvio.",
        "Togliere prima il braccio, poi spegnerlo e riaccenderlo con l'interruttore generale; avvisare un tecnico."),
    "FILE_UNREADABLE": (
        "File mancante o illeggibile",
        "Le impostazioni salvate non si possono usare; valgono quelle predefinite e il braccio non si muove.",
        "La memoria è danneggiata, oppure il file è stato scritto da un'altra versione del programma. Il file è stato "
        "conservato.",
        "Controllare le impostazioni, poi accettarle con il pulsante Reset, o far recuperare il file da un tecnico."),
    "EXERCISE_DATA": (
        "Dati dell'esercizio non validi",
        "L'esercizio non è stato caricato perché il suo contenuto non è valido. Nulla si muove.",
        "Il file è danneggiato o viene da un'altra versione.",
        "Registrare di nuovo l'esercizio."),
    # master
    "MASTER_STATE": (
        "Stato del controllore errato",
        "Il controllore si è trovato in uno stato che non conosce e ha terminato dolcemente il movimento.",
        _SOFTWARE, _RESET_OR_TECHNICIAN),
    "BATTERY_LOW": (
        "Batterie scariche",
        "La tensione delle batterie è sotto il minimo. Il movimento è terminato dolcemente; il braccio viene "
        "sostenuto.",
        "Le batterie sono scariche o vecchie, oppure una cella è danneggiata.",
        "Portare il braccio a riposo, toglierlo e caricare le batterie."),
    "DRIVE_ERROR": (
        "Motore in errore",
        f"Il motore di questo asse ha segnalato un proprio errore. {_STOPPED_QUICKLY}",
        "Vedere l'errore del motore, elencato accanto a questo.",
        "Eliminare la causa indicata dall'errore del motore, poi azzerare l'errore."),
    "DRIVE_LOST": (
        "Il motore non comunica più",
        f"La scheda di base non sente più il motore di questo asse. {_STOPPED_QUICKLY}",
        "Il cavo dentro il braccio è allentato, oppure il motore non è alimentato.",
        "Controllare i cavi del braccio, spegnerlo e riaccenderlo. Il collegamento viene ristabilito; poi azzerare "
        "l'errore."),
    "DRIVE_SETUP": (
        "Il motore va configurato",
        f"Il motore di questo asse ha perso la sua configurazione. {_STOPPED_QUICKLY}",
        "L'alimentazione del motore si è interrotta per un momento.",
        "Attendere che il collegamento sia ristabilito, poi azzerare l'errore. Se si ripete, far controllare "
        "l'alimentazione."),
    "DRIVE_VERSION": (
        "Software del motore non aggiornato",
        "Il software del motore di questo asse non è compatibile con gli altri.",
        "Un aggiornamento del braccio non è stato completato.",
        "Far ripetere da un tecnico l'aggiornamento del motore."),
    "ESM_ENABLE_AT_START": (
        "Alimentazione dei motori attiva all'avvio",
        f"L'alimentazione dei motori era già attiva all'avvio del controllore. {_POWER_OFF}",
        "Un guasto nel circuito dell'arresto di emergenza.",
        "Non usare il braccio. Spegnerlo e riaccenderlo; se si ripete, chiamare un tecnico."),
    "ESM_CONTACTS_AT_START": (
        "Contatti di potenza chiusi all'avvio",
        "All'avvio i contatti dell'alimentazione dei motori erano chiusi senza che nulla li avesse attivati.",
        "Un contatto del relè di potenza è incollato.",
        "Non usare il braccio. Spegnerlo e far sostituire il relè da un tecnico."),
    "ESM_START_REPEATED": (
        "Errore di avvio ancora presente",
        "All'avvio il controllore ha trovato guasto il circuito dell'arresto di emergenza e resta spento.",
        "Prima si è verificato l'errore 290 o 291.",
        "Non usare il braccio. Spegnerlo e chiamare un tecnico."),
    "ESM_CONTACTS_CLOSED": (
        "Contatti chiusi senza comando",
        "L'alimentazione dei motori è presente benché sia stata tolta.",
        "Un contatto del relè di potenza è incollato, oppure il suo segnale di ritorno è guasto.",
        "Togliere il braccio e spegnerlo con l'interruttore generale. Far controllare il relè da un tecnico."),
    "ESM_BUTTON_CONTACTS": (
        "Contatti chiusi con il pulsante premuto",
        "Il pulsante di emergenza è premuto, ma l'alimentazione dei motori è rimasta presente.",
        "Un contatto del relè di potenza è incollato, oppure il cablaggio del pulsante è guasto.",
        "Togliere il braccio e spegnerlo con l'interruttore generale. Far controllare pulsante e relè da un tecnico."),
    "ESM_CONTACTS_OPEN": (
        "Contatti aperti con comando attivo",
        "L'alimentazione dei motori non si è inserita, o è mancata da sola, benché sia comandata.",
        "Un fusibile, il relè di potenza o il suo segnale di ritorno è guasto, oppure la scheda di base ha tolto "
        "l'alimentazione.",
        "Azzerare l'errore e avviare di nuovo. Se si ripete, chiamare un tecnico."),
    "ESM_BUTTON": (
        "Pulsante di emergenza premuto",
        f"Il pulsante di emergenza è stato premuto. {_POWER_OFF_AT_ONCE}",
        "Qualcuno ha premuto il pulsante, oppure il suo cavo è rotto.",
        "Verificare che si possa continuare in sicurezza, sbloccare il pulsante, poi azzerare l'errore."),
    "ESS_HARD_MINIMUM": (
        "Posizione sotto il minimo assoluto",
        f"L'asse si trova sotto la posizione più bassa consentita dalla meccanica. {_POWER_OFF}",
        _PUSHED_OR_SENSOR, _BACK_BY_HAND),
    "ESS_HARD_MAXIMUM": (
        "Posizione sopra il massimo assoluto",
        f"L'asse si trova sopra la posizione più alta consentita dalla meccanica. {_POWER_OFF}",
        _PUSHED_OR_SENSOR, _BACK_BY_HAND),
    "ESS_ROM_MINIMUM": (
        "Posizione sotto il campo di movimento",
        f"L'asse si trova sotto il campo di movimento impostato per questa persona. {_POWER_OFF}",
        "Il braccio è stato spinto lì, oppure il campo è stato impostato mentre il braccio era fuori.",
        "Riportare a mano l'asse, o correggere il campo di movimento, poi azzerare l'errore."),
    "ESS_ROM_MAXIMUM": (
        "Posizione sopra il campo di movimento",
        f"L'asse si trova sopra il campo di movimento impostato per questa persona. {_POWER_OFF}",
        "Il braccio è stato spinto lì, oppure il campo è stato impostato mentre il braccio era fuori.",
        "Riportare a mano l'asse, o correggere il campo di movimento, poi azzerare l'errore."),
    "ESS_OVERSPEED": (
        "Velocità sopra il massimo",
        f"L'asse si è mosso più velocemente del suo massimo. {_POWER_OFF}",
        "Il braccio è stato spinto, un motore è guasto o la velocità massima è impostata troppo bassa.",
        "Verificare che il braccio si muova liberamente, poi azzerare l'errore. Se si ripete, chiamare un tecnico."),
    "ESS_CANNOT_STOP": (
        "Troppo veloce per fermarsi prima del limite",
        "L'asse si muoveva verso un limite così velocemente da non potersi fermare prima. "
        f"{_POWER_OFF}",
        "Il braccio è stato spinto verso il limite, oppure un motore è guasto.",
        "Se serve, allontanare a mano l'asse dal limite, poi azzerare l'errore."),
    "ESS_STANDSTILL": (
        "Movimento da fermo, o troppo veloce",
        f"L'asse si è mosso mentre doveva restare fermo, o più in fretta di quanto il movimento attuale permetta. "
        f"{_POWER_OFF}",
        "Il braccio è stato spinto, il carico è troppo pesante, oppure un freno o un motore è guasto.",
        "Controllare il carico, poi azzerare l'errore. Se si ripete senza spinte, chiamare un tecnico."),
    "ESS_FOLLOWING": (
        "Errore di inseguimento troppo grande",
        f"L'asse non ha seguito la posizione comandata. {_POWER_OFF}",
        "Il braccio è bloccato o sovraccarico, oppure un motore o un sensore di posizione è guasto.",
        "Togliere ciò che blocca il braccio, poi azzerare l'errore. Se si ripete, muovere più lentamente."),
    "DEADLINES_MISSED": (
        "Scadenze del controllo mancate",
        f"Il ciclo di controllo è stato in ritardo troppe volte di seguito. {_STOPPED_QUICKLY}",
        _OVERLOADED,
        "Azzerare l'errore. Se si ripete, far eseguire `allyarm doctor` da un tecnico."),
    "DRIVES_NOT_READY": (
        "I motori non sono pronti",
        "Dopo l'avvio i motori non hanno segnalato di essere pronti. Il braccio non si muove; viene sostenuto dove si "
        "trova.",
        "Un motore non ha superato il suo autotest, oppure non riceve l'alimentazione.",
        "Azzerare l'errore e avviare di nuovo. Se si ripete, chiamare un tecnico."),
    "TRAJECTORY": (
        "Valore comandato fuori dai limiti",
        f"Il controllore ha calcolato un valore che supera un limite; non è stato inviato. {_STOPPED_QUICKLY}",
        _SOFTWARE,
        "Azzerare l'errore. Conservare lo storico e segnalarlo; se si ripete, chiamare un tecnico."),
    "RELAY_NOT_CLOSING": (
        "Autotest: i contatti di potenza non si sono chiusi",
        "L'autotest prima del primo avvio ha inserito l'alimentazione dei motori, ma i contatti sono rimasti aperti.",
        "Il relè di potenza, la sua alimentazione o un contatto è guasto, oppure un connettore è allentato.",
        "Azzerare l'errore e avviare di nuovo. Se si ripete, togliere il braccio e chiamare un tecnico."),
    "RELAY_NOT_OPENING": (
        "Autotest: i contatti di potenza non si sono aperti",
        "L'autotest prima del primo avvio ha tolto di nuovo l'alimentazione dei motori, ma i contatti sono rimasti "
        "chiusi.",
        "Il relè di potenza è incollato o un contatto resta bloccato: in caso di emergenza l'alimentazione dei motori "
        "non si potrebbe togliere.",
        "Togliere il braccio, spegnerlo e chiamare un tecnico."),
    "DRIVE_SETUP_BEYOND_5": (
        "Il motore va configurato",
        "Un motore dell'asse 6 o successivo ha perso la sua configurazione. Il braccio è stato fermato e "
        "l'alimentazione dei motori è stata tolta.",
        "Il motore si è riavviato, per esempio dopo un calo di tensione.",
        "Azzerare l'errore: il controllore si collega di nuovo al braccio. Se si ripete, chiamare un tecnico."),
    "EXTERNAL_SILENT": (
        "Il programma esterno non risponde",
        "Il programma di sviluppo esterno non ha inviato in tempo un comando valido. Il braccio è stato fermato "
        "dolcemente e viene sostenuto.",
        "Il programma è terminato, è bloccato o è troppo lento per external.heartbeat_ms; oppure il computer è "
        "sovraccarico.",
        "Correggere o riavviare il programma, azzerare l'errore, poi ammettere di nuovo il programma."),
    "EXTERNAL_TARGET": (
        "Comando esterno non valido",
        "Il programma di sviluppo esterno ha inviato un comando che non è un numero, di tipo sconosciuto o per un "
        "numero di assi sbagliato. Non è stato usato; il braccio è stato fermato dolcemente e viene sostenuto.",
        "Un errore di quel programma.",
        "Correggere il programma, azzerare l'errore, poi ammettere di nuovo il programma."),
    "CONTACT": (
        "Contatto o spasmo",
        "Durante un movimento, o mentre il braccio era fermo e pronto, questo asse ha incontrato una coppia che il suo "
        "carico non spiega. Il braccio è stato fermato dolcemente, è tornato un poco indietro dove è configurato così, "
        "e viene sostenuto.",
        "Il braccio ha incontrato un ostacolo o una persona, chi lo indossa si è irrigidito o ha avuto uno spasmo, "
        "oppure le masse nella configurazione o le quote di peso (91, 93) non sono giuste.",
        "Verificare che nulla sia d'intralcio e che chi indossa il braccio stia bene, poi azzerare l'errore. Finché la "
        "coppia dura, l'azzeramento viene rifiutato; se nulla tocca il braccio, spegnere i motori (modo OFF), azzerare "
        "e correggere le masse."),
    "TORQUE_SENSOR": (
        "Lettura di coppia non plausibile",
        "Il sensore di coppia di questo asse segna l'estremo del suo campo. Il movimento è stato terminato dolcemente; "
        "il braccio viene sostenuto.",
        "Il sensore di coppia o il suo cavo è guasto, oppure l'asse è sovraccarico.",
        "Togliere il carico dal braccio e azzerare l'errore. Se si ripete, far controllare il sensore da un tecnico."),
    # drives
    "DRIVE_POSITION_MAXIMUM": (
        "Posizione sopra il massimo",
        "Il motore ha trovato l'asse sopra la posizione massima memorizzata nel motore stesso.",
        "L'asse è stato spinto oltre il suo campo, oppure il suo sensore di posizione è guasto.",
        "Riportare a mano l'asse, poi azzerare l'errore."),
    "DRIVE_POSITION_MINIMUM": (
        "Posizione sotto il minimo",
        "Il motore ha trovato l'asse sotto la posizione minima memorizzata nel motore stesso.",
        "L'asse è stato spinto oltre il suo campo, oppure il suo sensore di posizione è guasto.",
        "Riportare a mano l'asse, poi azzerare l'errore."),
    "DRIVE_TORQUE_MAXIMUM": (
        "Coppia sopra il massimo",
        "La coppia sull'asse era maggiore di quella consentita dal motore.",
        "Il braccio è bloccato, sovraccarico o spinto in senso contrario.",
        "Togliere il carico o l'ostacolo, poi azzerare l'errore."),
    "DRIVE_TORQUE_MINIMUM": (
        "Coppia sotto il minimo",
        "La coppia sull'asse era minore (più negativa) di quella consentita dal motore.",
        "Il braccio è bloccato, sovraccarico o spinto nell'altra direzione.",
        "Togliere il carico o l'ostacolo, poi azzerare l'errore."),
    "DRIVE_WARNING_RANGE": (
        "Codice di avviso fuori campo",
        "Il motore stava per segnalare un avviso che non esiste.",
        _DRIVE_SOFTWARE, "Spegnere e riaccendere il braccio. Se si ripete, chiamare un tecnico."),
    "DRIVE_TIMEOUT": (
        "Tempo scaduto nel collegamento con il controllore",
        "Il motore non ha sentito in tempo la scheda di base e si è fermato da solo.",
        "Il cavo dentro il braccio è disturbato, oppure il controllore ha smesso di trasmettere.",
        "Controllare i collegamenti, poi azzerare l'errore."),
    "DRIVE_CONFIGURATION": (
        "Configurazione errata (pin di selezione)",
        "Il motore non raggiunge il proprio circuito di comando con la configurazione che ha.",
        "Il motore è stato configurato per un'altra scheda.",
        "Far configurare o sostituire il motore da un tecnico."),
    "DRIVE_MICROSTEPPING": (
        "Impostazione dei micropassi errata",
        "Il motore ha rifiutato i micropassi con cui è stato configurato.",
        "Il motore è stato configurato con un valore che il suo circuito di comando non conosce.",
        "Far configurare il motore da un tecnico."),
    "DRIVE_MICROSTEPPING_READ_BACK": (
        "Impostazione dei micropassi errata",
        "I micropassi in vigore non sono quelli con cui il motore è stato configurato.",
        "Il circuito di comando ha perso le impostazioni o è stato configurato male.",
        "Spegnere e riaccendere il braccio. Se si ripete, far configurare il motore da un tecnico."),
    "DRIVE_MODEL": (
        "Modello di motore sconosciuto",
        "Il motore non conosce il circuito di comando che ha trovato.",
        "È stato montato un motore di un altro tipo.",
        "Far montare il motore giusto, o aggiornare il suo software, da un tecnico."),
    "DRIVE_STATE": (
        "Stato del motore sconosciuto",
        "Il motore si è trovato in uno stato che non conosce.", _DRIVE_SOFTWARE,
        "Azzerare l'errore. Se si ripete, spegnere e riaccendere il braccio e chiamare un tecnico."),
    "DRIVE_MODE": (
        "Modo di lavoro sconosciuto",
        "Al motore è stato chiesto un modo di lavoro che non conosce.",
        "Il software del motore e quello del controllore non sono compatibili.",
        "Azzerare l'errore. Se si ripete, far aggiornare il motore da un tecnico."),
}


def _joint_limit(joint: int, end: str) -> Texts:
    return (f"La posizione della mano porta il giunto {joint} oltre il {end}",
            f"La mano non può arrivare lì: il giunto G{joint} supererebbe il suo {end}.",
            "La destinazione è fuori dalla portata dei giunti.",
            "Scegliere una destinazione più vicina al centro del corpo.")


_UNREACHABLE = "La destinazione è al margine della portata del braccio."
_CLOSER = "Scegliere una destinazione più vicina alla posizione attuale."
_TOWARDS_END = "Il movimento porta verso la fine del campo."
_MOVE_AWAY = "Non serve fare nulla; allontanarsi dalla fine del campo."
_NARROWER = "I limiti nel motore sono più stretti di quelli nel controllore."
_COMPARE_LIMITS = "Scegliere un'altra destinazione; se si ripete, far confrontare i limiti da un tecnico."
_SLOWER_DRIVE = "La velocità massima nel motore è più bassa di quella nel controllore."
_COMPARE_SPEED = "Abbassare il limite di velocità dell'asse; far confrontare le impostazioni da un tecnico."

WARNINGS: dict[str, Texts] = {
    "IK_LIMIT_1": (
        "Limite della cinematica inversa raggiunto (1)",
        "Il movimento della mano è terminato perché il primo gruppo di giunti ha raggiunto il suo limite.",
        _UNREACHABLE, _CLOSER),
    "IK_LIMIT_2": (
        "Limite della cinematica inversa raggiunto (2)",
        "Il movimento della mano è terminato perché il secondo gruppo di giunti ha raggiunto il suo limite.",
        _UNREACHABLE, _CLOSER),
    "IK_LIMIT_3": (
        "Limite della cinematica inversa raggiunto (3)",
        "Il movimento della mano è terminato perché il terzo gruppo di giunti ha raggiunto il suo limite.",
        _UNREACHABLE, _CLOSER),
    "CYCLE_TIME": (
        "Tempo di ciclo troppo breve",
        "Il controllore non è riuscito a fare tutto il suo lavoro in un ciclo.",
        "Il computer è sovraccarico.",
        "Far eseguire `allyarm doctor` da un tecnico, o far abbassare loop.rate_hz."),
    "ARM_LENGTH_MAXIMUM_TARGET": (
        "Destinazione oltre la lunghezza massima del braccio",
        "La mano non può arrivare lì: la destinazione è più lontana del braccio disteso.",
        "La destinazione è troppo lontana dalla spalla.",
        "Scegliere una destinazione più vicina alla spalla."),
    "ARM_LENGTH_MAXIMUM": (
        "Oltre la lunghezza massima del braccio",
        "La mano uscirebbe dalla portata del braccio disteso; il movimento è terminato prima.",
        "Il movimento si allontanava dalla spalla.",
        "Tornare verso la spalla."),
    "ARM_LENGTH_MINIMUM": (
        "Sotto la lunghezza minima del braccio",
        "La mano non può avvicinarsi così tanto alla spalla.",
        "La destinazione è troppo vicina alla spalla.",
        "Scegliere una destinazione più lontana dalla spalla."),
    "IK_JOINT_1_MAXIMUM": _joint_limit(1, "massimo"), "IK_JOINT_1_MINIMUM": _joint_limit(1, "minimo"),
    "IK_JOINT_2_MAXIMUM": _joint_limit(2, "massimo"), "IK_JOINT_2_MINIMUM": _joint_limit(2, "minimo"),
    "IK_JOINT_3_MAXIMUM": _joint_limit(3, "massimo"), "IK_JOINT_3_MINIMUM": _joint_limit(3, "minimo"),
    "BATTERY_HIGH": (
        "Tensione delle batterie alta",
        "La tensione delle batterie supera il 110 % del massimo.",
        "È collegato un caricatore o una batteria sbagliata, oppure battery.maximum_v è impostato troppo basso.",
        "Scollegare il caricatore. Se l'avviso resta, togliere il braccio, spegnerlo e chiamare un tecnico."),
    "ACCELERATION_ZERO": (
        "L'accelerazione massima del motore è 0",
        "L'asse non può muoversi perché la sua accelerazione massima è 0.",
        "Il motore è stato configurato male.",
        "Far correggere da un tecnico l'accelerazione massima del motore."),
    "SPEED_ZERO": (
        "La velocità massima del motore è 0",
        "L'asse non può muoversi perché la sua velocità massima è 0.",
        "Il motore è stato configurato male, oppure un limite di velocità è impostato a 0 %.",
        "Alzare il limite di velocità dell'asse, o far correggere da un tecnico la velocità massima del motore."),
    "LIMIT_BRAKE": (
        "Frenata prima di un limite di posizione",
        "L'asse è stato rallentato o fermato perché più avanti c'è un limite di posizione.",
        "Il movimento portava verso il limite.",
        "Muovere nell'altra direzione."),
    "COMPLIANT_LOAD": (
        "Guida a mano rifiutata: carico diverso dal previsto",
        "Il braccio non è stato consegnato alla mano: questo asse porta più o meno di quanto spiegano le sue masse, e "
        "cederebbe.",
        "Una mano tiene il braccio, chi lo indossa è teso, oppure le quote di peso (91, 93), le masse o lo zero di "
        "un sensore di coppia non sono giusti.",
        "Lasciare il braccio, rilassarsi, poi chiedere di nuovo; oppure correggere le quote di peso o la zona morta "
        "(180..184), o calibrare le coppie."),
    "DRIVE_SLOWED_MAXIMUM": (
        "Velocità ridotta vicino alla posizione massima",
        "Il motore si muove più lentamente perché l'asse è vicino alla sua posizione massima.",
        _TOWARDS_END, _MOVE_AWAY),
    "DRIVE_SLOWED_MINIMUM": (
        "Velocità ridotta vicino alla posizione minima",
        "Il motore si muove più lentamente perché l'asse è vicino alla sua posizione minima.",
        _TOWARDS_END, _MOVE_AWAY),
    "DRIVE_CYCLE_TIME": (
        "Tempo di ciclo del motore troppo breve",
        "Il motore non è riuscito a fare tutto il suo lavoro nel suo ciclo.",
        "Il motore è sovraccarico.",
        "Se l'avviso resta, far controllare da un tecnico la versione del software del motore."),
    "DRIVE_TARGET_MAXIMUM": (
        "Destinazione sopra il massimo",
        "Al motore è stata chiesta una posizione sopra il suo massimo: non è andato lì.",
        _NARROWER, _COMPARE_LIMITS),
    "DRIVE_TARGET_MINIMUM": (
        "Destinazione sotto il minimo",
        "Al motore è stata chiesta una posizione sotto il suo minimo: non è andato lì.",
        _NARROWER, _COMPARE_LIMITS),
    "DRIVE_SPEED_ABOVE": (
        "Velocità richiesta sopra il 100 %",
        "Al motore è stata chiesta una velocità più alta di quella possibile; si muove al suo massimo.",
        _SLOWER_DRIVE, _COMPARE_SPEED),
    "DRIVE_SPEED_BELOW": (
        "Velocità richiesta sotto il -100 %",
        "Al motore è stata chiesta, all'indietro, una velocità più alta di quella possibile; si muove al suo massimo.",
        _SLOWER_DRIVE, _COMPARE_SPEED),
}
