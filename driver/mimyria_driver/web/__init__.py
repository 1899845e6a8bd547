"""Live page: the spectra of a run in a browser, from its run folder alone.

Its server is a process of its own that reads `status.json`, `events.jsonl` and
`spectrum.h5` and writes nothing; it opens no socket of the driver, no journal and no
lock. It shows the last result where there is no driver, and a run never depends on it.

    folder ──► state    what the driver does, every two seconds
           └─► results ──► document   spectra, bands, checks: once for each new result
                      └──► downloads  figures and tables of it
    access ──► application ──► server   who may ask; what there is to ask; loopback
    static                              the page itself: no build step, no foreign host
"""
