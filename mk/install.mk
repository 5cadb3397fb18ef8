# install.mk
PREFIX ?= /usr/local
DESTDIR ?=
.PHONY: install uninstall
install: all $(SO)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/hearth
	install -m 644 include/hearth.h $(DESTDIR)$(PREFIX)/include/hearth.h
	install -m 644 $(BUILD)/libhearth.a $(DESTDIR)$(PREFIX)/lib/libhearth.a
	install -m 755 $(SO) $(DESTDIR)$(PREFIX)/lib/$(notdir $(SO))
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@PKGS@|$(PKGS)|' mk/hearth.pc.in \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/hearth.pc
uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/hearth include/hearth.h lib/libhearth.a lib/$(notdir $(SO)) lib/pkgconfig/hearth.pc)
## make install      into PREFIX (/usr/local); DESTDIR is honoured
