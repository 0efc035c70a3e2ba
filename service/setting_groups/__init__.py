"""The settings of the gateway by what they are about; ``service.settings`` joins them."""
