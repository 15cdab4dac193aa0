"""The only door to sound: `ear` is where it comes in, `mouth` where it goes out. Nothing else opens a device."""
