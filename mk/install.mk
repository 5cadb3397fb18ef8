# install.mk - program, header, both libraries and the pkg-config file.
DESTDIR ?=
.PHONY: install uninstall
install: all $(SO)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/hearth
	install -m 644 include/hearth.h include/hearth_serve.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(BUILD)/libhearth.a $(DESTDIR)$(PREFIX)/lib/libhearth.a
	install -m 755 $(SO) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/$(SOLINK)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@PKGS@|$(PKGS)|' mk/hearth.pc.in \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/hearth.pc
uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/hearth include/hearth.h include/hearth_serve.h lib/libhearth.a lib/$(SONAME) lib/$(SOLINK) lib/pkgconfig/hearth.pc)
## make install      into PREFIX (/usr/local); DESTDIR is honoured
