"""The application around the methods: doctor, alerts, metrics, notebooks, progress, evaluation."""
