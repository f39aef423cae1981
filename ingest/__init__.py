"""From MQTT to the journal: pure decoders, one subscriber, a quarantine."""
